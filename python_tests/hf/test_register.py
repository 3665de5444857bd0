"""`hf.register()`: models with our mixers in transformers, from loading to results."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fnet_kernels import models
from fnet_kernels.mixers import create_mixer, list_mixers
from python_tests.helpers.fnet_models import MODELS, FusedCalls
from python_tests.helpers.forks import Forks
from python_tests.helpers.registered import (
    KINDS,
    MASK,
    SEQ,
    TOKENS,
    auto,
    from_config,
    inputs,
    ours,
    saved,
)
from python_tests.helpers.same_models import assert_same, assert_same_state, outputs

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("registered")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_every_class_there_and_back(name: str, kind: str, tmp_path: Path) -> None:
    model = saved(tmp_path / "ours", name, **KINDS[kind])
    loaded, info = auto(name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values()), info
    assert type(loaded).__name__ == name.replace("FNet", "FNetMixer", 1)
    assert isinstance(loaded, getattr(transformers, name))
    assert_same_state(loaded, model)
    assert_same(outputs(loaded, **inputs(name)), outputs(model, **inputs(name)))

    loaded.save_pretrained(tmp_path / "theirs")
    back = type(model).from_pretrained(tmp_path / "theirs")
    assert_same_state(back, model)
    assert_same(outputs(back, **inputs(name)), outputs(model, **inputs(name)))
    again = auto(name).from_pretrained(tmp_path / "theirs")
    assert_same(outputs(again, **inputs(name)), outputs(model, **inputs(name)))


@pytest.mark.parametrize("mixer", list_mixers())
def test_every_mixer(mixer: str, tmp_path: Path) -> None:
    model = saved(tmp_path / "ours", "FNetForMaskedLM", mixer=mixer)
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "ours")
    assert_same_state(loaded, model)
    assert_same(outputs(loaded, **inputs("")), outputs(model, **inputs("")))
    loaded.save_pretrained(tmp_path / "theirs")
    back = models.FNetForMaskedLM.from_pretrained(tmp_path / "theirs")
    assert_same(outputs(back, **inputs("")), outputs(model, **inputs("")))


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


def test_registers_nothing_at_import(forks: Forks, tmp_path: Path) -> None:
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
    done = forks.run(code, str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_config() -> None:
    config = transformers.AutoConfig.for_model("fnet_kernels", **KINDS["hybrid"])
    assert config.num_attention_layers == 1
    assert transformers.TOKENIZER_MAPPING[type(config)] is transformers.FNetTokenizer
    with pytest.raises(ValueError, match=r"mixer must be one of .*got 'butterfly'"):
        transformers.AutoConfig.for_model("fnet_kernels", mixer="butterfly")


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
    assert_same([padded[:, :5]], [alone])
    seen = outputs(model, input_ids=TOKENS[1:])[0]
    assert (seen[:, :5] - alone).abs().max() > 1e-2


def test_mask_hides_padding_from_the_mean() -> None:
    model = from_config("FNetModel", "fourier", pooling="mean").eval()
    states, pooled = outputs(model, **inputs(""))
    mean = torch.stack([states[0].mean(0), states[1, :5].mean(0)])
    assert_same([pooled], [model.pooler.dense(mean).tanh().detach()])
    model.config.pooling = "first"
    assert_same(
        [outputs(model, **inputs(""))[1]], [model.pooler.dense(states[:, 0]).tanh().detach()]
    )


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
    assert_same(again, expected, 1e-6)
    assert twice == 2 * once


@pytest.mark.parametrize("kind", KINDS)
def test_compile(kind: str) -> None:
    model = from_config("FNetForMaskedLM", kind).eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_same(outputs(compiled, **inputs("")), outputs(model, **inputs("")))


@pytest.mark.parametrize("kind", KINDS)
def test_copies_pickles_and_bfloat16(kind: str) -> None:
    model = from_config("FNetForMaskedLM", kind).eval()
    expected = outputs(model, **inputs(""))
    assert_same(outputs(copy.deepcopy(model), **inputs("")), expected, 0)
    assert_same(outputs(pickle.loads(pickle.dumps(model)), **inputs("")), expected, 0)
    assert outputs(model.bfloat16(), **inputs(""))[0].dtype == torch.bfloat16


def test_outputs_of_transformers() -> None:
    model = from_config("FNetModel", "hybrid").eval()
    result = model(**inputs(""), output_hidden_states=True)
    assert len(result.hidden_states) == 4
    assert torch.equal(result.hidden_states[-1], result.last_hidden_state)
    assert isinstance(model(**inputs(""), return_dict=False), tuple)


def test_signatures_name_the_mask() -> None:
    for name in MODELS:
        model = from_config(name, "hybrid")
        stock = inspect.signature(getattr(transformers, name).forward).parameters
        own = inspect.signature(type(model).forward).parameters
        assert own.keys() - stock.keys() == {"attention_mask"}
        assert stock.keys() <= own.keys()


@pytest.mark.parametrize("kind", [{"mixer": "attention"}, KINDS["hybrid"]], ids=str)
@pytest.mark.parametrize("name", ["FNetModel", "FNetForMaskedLM", "FNetForSequenceClassification"])
def test_masks_of_other_kinds_are_refused(name: str, kind: dict[str, Any]) -> None:
    """transformers' BERT takes masks to add to scores; read as 0 and 1, one would be inverted."""
    model = from_config(name, "fourier", **kind).eval()
    added = (1 - MASK.float()) * torch.finfo(torch.float32).min
    for mask in (added[:, None, None], MASK[:, None], MASK[:, None, None]):
        message = rf"attention_mask must have the shape .*, \(2, {SEQ}\); got shape"
        with pytest.raises(ValueError, match=message):
            model(TOKENS, attention_mask=mask)
    for mask in (added, (1 - MASK.long()) * -10000):
        with pytest.raises(ValueError, match=r"attention_mask must be 1 or true .* negative num"):
            model(TOKENS, attention_mask=mask)
    zeros_and_ones = model(TOKENS, attention_mask=MASK.float())[0]
    assert torch.equal(zeros_and_ones, model(TOKENS, attention_mask=MASK)[0])
