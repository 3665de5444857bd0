"""Registered models together with libraries: the Trainer, pipelines and PEFT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fnet_kernels import models
from python_tests.helpers.registered import KINDS, SEQ, auto, from_config, inputs, saved
from python_tests.helpers.same_models import assert_same, assert_same_state, outputs

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("registered")


#: A hybrid has Fourier layers too.
TRAINED = ["learned", "hybrid"]


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


@pytest.mark.parametrize("kind", TRAINED)
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


@pytest.mark.parametrize("kind", TRAINED)
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
    assert_same(outputs(loaded, **inputs("")), expected)
    assert_same(outputs(loaded.merge_and_unload(), **inputs("")), expected)
