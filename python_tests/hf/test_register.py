"""`hf.register()`: models with our mixers in transformers, from loading to training."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fnet_kernels import hf, models
from fnet_kernels.mixers import create_mixer, list_mixers, registry
from fnet_kernels.models import FNetConfig
from python_tests.helpers.fnet_models import MODELS, FusedCalls
from python_tests.helpers.paths import ROOT

transformers = pytest.importorskip("transformers")

SEQ = 8
SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "max_position_embeddings": SEQ,
    "hidden_dropout_prob": 0.0,
    "mixer_args": {},
}
KINDS: dict[str, dict[str, Any]] = {
    "fourier": {},
    "learned": {"mixer": "learned"},
    "hybrid": {"num_attention_layers": 1, "num_attention_heads": 2},
}
MASK = torch.tensor([[1] * SEQ, [1] * 5 + [0] * 3])
TOKENS = torch.randint(5, 40, (2, SEQ), generator=torch.Generator().manual_seed(1))


class Learned(nn.Module):
    """A mixer with a parameter, a constant that no checkpoint holds, and a module inside."""

    def __init__(
        self, hidden_size: int, seq_len: int | None = None, *, gain: Any = "paper"
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((hidden_size,), 0.5))
        self.register_buffer("signs", torch.tensor([1.0, -1.0] * (hidden_size // 2)), False)
        self.inner = nn.Linear(hidden_size, hidden_size)
        nn.init.eye_(self.inner.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.flip(-2)) * self.weight * self.signs


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setitem(registry._factories, "learned", Learned)
    hf.register()
    hf.register()  # has no further effect


def ours(name: str, **options: Any) -> Any:
    """A model of `fnet_kernels.models` whose parameters all differ."""
    model = getattr(models, name)(FNetConfig(**{**SIZES, **options}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def saved(directory: Path, name: str, **options: Any) -> Any:
    """Save such a model as `fnet_kernels`, even where transformers could load it as `fnet`."""
    model = ours(name, **options)
    model.save_pretrained(directory)
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"fnet"', '"fnet_kernels"'))
    return model


def auto(name: str) -> Any:
    return getattr(transformers, "AutoModel" + name.removeprefix("FNet").removeprefix("Model"))


def inputs(name: str) -> dict[str, Tensor]:
    if name.endswith("MultipleChoice"):
        return {"input_ids": TOKENS.reshape(2, 2, 4), "attention_mask": MASK.reshape(2, 2, 4)}
    return {"input_ids": TOKENS, "attention_mask": MASK}


def outputs(model: nn.Module, **batch: Tensor) -> list[Tensor]:
    with torch.no_grad():
        result = model(**batch)
    values = result.to_tuple() if hasattr(result, "to_tuple") else result
    return [value for value in values if isinstance(value, Tensor)]


def assert_equal(actual: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> None:
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def assert_same_state(actual: nn.Module, expected: nn.Module) -> None:
    state = actual.state_dict()
    assert list(state) == list(expected.state_dict())
    for name, tensor in expected.state_dict().items():
        assert torch.equal(state[name], tensor), name


# Loading and saving


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_every_class_there_and_back(name: str, kind: str, tmp_path: Path) -> None:
    model = saved(tmp_path / "ours", name, **KINDS[kind])
    loaded, info = auto(name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values()), info
    assert type(loaded).__name__ == name.replace("FNet", "FNetMixer", 1)
    assert isinstance(loaded, getattr(transformers, name))
    assert_same_state(loaded, model)
    assert_equal(outputs(loaded, **inputs(name)), outputs(model, **inputs(name)))

    loaded.save_pretrained(tmp_path / "theirs")
    back = type(model).from_pretrained(tmp_path / "theirs")
    assert_same_state(back, model)
    assert_equal(outputs(back, **inputs(name)), outputs(model, **inputs(name)))
    again = auto(name).from_pretrained(tmp_path / "theirs")
    assert_equal(outputs(again, **inputs(name)), outputs(model, **inputs(name)))


@pytest.mark.parametrize("mixer", list_mixers())
def test_every_mixer(mixer: str, tmp_path: Path) -> None:
    model = saved(tmp_path / "ours", "FNetForMaskedLM", mixer=mixer)
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "ours")
    assert_same_state(loaded, model)
    assert_equal(outputs(loaded, **inputs("")), outputs(model, **inputs("")))
    loaded.save_pretrained(tmp_path / "theirs")
    back = models.FNetForMaskedLM.from_pretrained(tmp_path / "theirs")
    assert_equal(outputs(back, **inputs("")), outputs(model, **inputs("")))


@pytest.mark.parametrize("kind", KINDS)
def test_layout_of_the_hub(kind: str, tmp_path: Path) -> None:
    model = saved(tmp_path / "ours", "FNetForMaskedLM", **KINDS[kind])
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "ours")
    repository = tmp_path / "models--someone--model"
    theirs.save_pretrained(repository / "snapshots" / ("0" * 40), max_shard_size="4KB")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    options = {"cache_dir": tmp_path, "local_files_only": True}
    for load in (transformers.AutoModelForMaskedLM, models.FNetForMaskedLM):
        assert_same_state(load.from_pretrained("someone/model", **options), model)


def test_registers_nothing_at_import(tmp_path: Path) -> None:
    ours("FNetModel", gain=1.0).save_pretrained(tmp_path)
    code = """
import sys
from transformers import AutoModel
from fnet_kernels import hf, models
try:
    AutoModel.from_pretrained(sys.argv[1])
except ValueError as error:
    assert "`fnet_kernels`" in str(error), error
else:
    raise AssertionError("stock transformers loads it")
hf.register()
assert type(AutoModel.from_pretrained(sys.argv[1])).__name__ == "FNetMixerModel"
"""
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_config() -> None:
    config = transformers.AutoConfig.for_model("fnet_kernels", **KINDS["hybrid"])
    assert config.num_attention_layers == 1
    assert transformers.TOKENIZER_MAPPING[type(config)] is transformers.FNetTokenizer
    with pytest.raises(ValueError, match=r"mixer must be one of .*got 'butterfly'"):
        transformers.AutoConfig.for_model("fnet_kernels", mixer="butterfly")


# What the models compute


def from_config(name: str, kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        "fnet_kernels", **{**SIZES, **KINDS[kind], **options}
    )
    return auto(name).from_config(config)


def test_initialisation() -> None:
    model = from_config("FNetForMaskedLM", "learned")
    mixer = model.fnet.encoder.layer[0].fourier.self
    for name, tensor in create_mixer("learned", 16).named_parameters():
        if name != "inner.bias":  # random
            assert torch.equal(mixer.get_parameter(name), tensor), name
    dense = model.fnet.encoder.layer[0].output.dense
    assert 0.01 < dense.weight.std() < 0.03
    assert model.cls.predictions.decoder.weight is model.get_input_embeddings().weight
    assert model.cls.predictions.decoder.bias is model.cls.predictions.bias


def test_fourier_layers_run_the_fused_operator() -> None:
    model = from_config("FNetForMaskedLM", "fourier").eval()
    with FusedCalls() as calls:
        outputs(model, input_ids=TOKENS)
    assert calls.count == 3


def test_mask_hides_padding_from_attention() -> None:
    model = from_config("FNetModel", "fourier", mixer="attention", initializer_range=0.5).eval()
    padded = outputs(model, input_ids=TOKENS[1:], attention_mask=MASK[1:])[0]
    alone = outputs(model, input_ids=TOKENS[1:, :5])[0]
    assert_equal([padded[:, :5]], [alone])
    seen = outputs(model, input_ids=TOKENS[1:])[0]
    assert (seen[:, :5] - alone).abs().max() > 1e-2


def test_mask_hides_padding_from_the_mean() -> None:
    model = from_config("FNetModel", "fourier", pooling="mean").eval()
    states, pooled = outputs(model, **inputs(""))
    mean = torch.stack([states[0].mean(0), states[1, :5].mean(0)])
    assert_equal([pooled], [model.pooler.dense(mean).tanh().detach()])


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing(kind: str) -> None:
    def gradients(checkpoint: bool) -> tuple[list[Tensor], int]:
        model = from_config("FNetForMaskedLM", kind).train()
        if checkpoint:
            model.gradient_checkpointing_enable()
        with FusedCalls() as calls:
            model(**inputs(""), labels=TOKENS).loss.backward()
        return [p.grad for p in model.parameters() if p.grad is not None], calls.count

    (again, twice), (expected, once) = gradients(True), gradients(False)
    assert_equal(again, expected, 1e-6)
    assert twice == 2 * once


@pytest.mark.parametrize("kind", KINDS)
def test_compile(kind: str) -> None:
    model = from_config("FNetForMaskedLM", kind).eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_equal(outputs(compiled, **inputs("")), outputs(model, **inputs("")))


@pytest.mark.parametrize("kind", KINDS)
def test_copies_pickles_and_bfloat16(kind: str) -> None:
    model = from_config("FNetForMaskedLM", kind).eval()
    expected = outputs(model, **inputs(""))
    assert_equal(outputs(copy.deepcopy(model), **inputs("")), expected, 0)
    assert_equal(outputs(pickle.loads(pickle.dumps(model)), **inputs("")), expected, 0)
    assert outputs(model.bfloat16(), **inputs(""))[0].dtype == torch.bfloat16


def test_outputs_of_transformers() -> None:
    model = from_config("FNetModel", "hybrid").eval()
    result = model(**inputs(""), output_hidden_states=True)
    assert len(result.hidden_states) == 4
    assert torch.equal(result.hidden_states[-1], result.last_hidden_state)
    assert isinstance(model(**inputs(""), return_dict=False), tuple)


# Together with libraries


class Sentences(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Random sentences of random lengths, whose first token is the label."""

    def __init__(self, count: int = 24) -> None:
        generator = torch.Generator().manual_seed(2)
        self.ids = torch.randint(4, 40, (count, SEQ), generator=generator)
        self.lengths = torch.randint(3, SEQ + 1, (count, 1), generator=generator)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        mask = (torch.arange(SEQ) < self.lengths[i]).long()
        return {
            "input_ids": self.ids[i],
            "attention_mask": mask,
            "labels": self.ids[i, 0] % 2,
        }


def trainer(model: nn.Module, folder: Path, **options: Any) -> Any:
    pytest.importorskip("accelerate")
    defaults = {
        "output_dir": str(folder),
        "max_steps": 20,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "save_steps": 10,
        "logging_steps": 5,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
    }
    return transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(**{**defaults, **options}),
        train_dataset=Sentences(),
        eval_dataset=Sentences(),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_trainer_saves_resumes_and_evaluates(kind: str, tmp_path: Path) -> None:
    name = "FNetForSequenceClassification"
    first = trainer(from_config(name, kind), tmp_path / "first")
    before = first.evaluate()["eval_loss"]
    first.train()
    assert first.evaluate()["eval_loss"] < before
    second = trainer(from_config(name, kind), tmp_path / "second")
    second.train(resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-10"))
    assert second.state.global_step == 20
    assert_same_state(second.model, first.model)
    directory = tmp_path / "first" / "checkpoint-20"
    for load in (auto(name), models.FNetForSequenceClassification):
        assert_same_state(load.from_pretrained(directory), first.model)


def test_trainer_divides_accumulated_gradients(tmp_path: Path) -> None:
    def trained(**options: int) -> nn.Module:
        model = from_config("FNetForSequenceClassification", "hybrid")
        trainer(model, tmp_path, max_steps=2, optim="sgd", learning_rate=1.0, **options).train()
        return model

    whole = trained(per_device_train_batch_size=4)
    halves = trained(per_device_train_batch_size=2, gradient_accumulation_steps=2)
    for expected, actual in zip(whole.parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


def test_signatures_name_the_mask() -> None:
    for name in MODELS:
        model = from_config(name, "hybrid")
        stock = inspect.signature(getattr(transformers, name).forward).parameters
        own = inspect.signature(type(model).forward).parameters
        assert own.keys() - stock.keys() == {"attention_mask"}
        assert stock.keys() <= own.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_fill_mask(kind: str, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = ["<pad>", "<unk>", "[MASK]", *"abcdefgh"]
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", mask_token="[MASK]"
    )
    tokenizer.save_pretrained(tmp_path)
    model = saved(tmp_path, "FNetForMaskedLM", **KINDS[kind], vocab_size=len(words))
    fill = transformers.pipeline("fill-mask", model=str(tmp_path), device="cpu")
    answers = fill("a b [MASK] d", top_k=3)
    tokens = tokenizer("a b [MASK] d", return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(tokens).logits[0, 2]
    best = logits.softmax(-1).topk(3)
    assert [answer["token"] for answer in answers] == best.indices.tolist()
    assert [answer["score"] for answer in answers] == pytest.approx(best.values.tolist(), 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_lora(kind: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    name = "FNetForSequenceClassification"
    config = peft.LoraConfig(
        task_type="SEQ_CLS", target_modules=["dense"], r=2, modules_to_save=["classifier"]
    )
    model = peft.get_peft_model(from_config(name, kind), config)
    frozen = model.base_model.model.fnet.embeddings.word_embeddings.weight.clone()
    run = trainer(model, tmp_path / "run")
    before = run.evaluate()["eval_loss"]
    run.train()
    assert run.evaluate()["eval_loss"] < before
    assert torch.equal(model.base_model.model.fnet.embeddings.word_embeddings.weight, frozen)
    model.save_pretrained(tmp_path / "adapter")
    loaded = peft.PeftModel.from_pretrained(from_config(name, kind), tmp_path / "adapter").eval()
    expected = outputs(model.eval(), **inputs(""))
    assert_equal(outputs(loaded, **inputs("")), expected)
    assert_equal(outputs(loaded.merge_and_unload(), **inputs("")), expected)
