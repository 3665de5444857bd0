"""Checkpoints in transformers and in ours, there and back: heads, dtypes, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fnet_kernels import models
from fnet_kernels.models import FNetForMaskedLM, FNetModel
from python_tests.helpers.checkpoints import assert_same_outputs, ours, stock
from python_tests.helpers.same_models import assert_same_state

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors.torch")


HEADS = [
    "FNetModel",
    "FNetForPreTraining",
    "FNetForMaskedLM",
    "FNetForNextSentencePrediction",
    "FNetForSequenceClassification",
    "FNetForTokenClassification",
    "FNetForMultipleChoice",
    "FNetForQuestionAnswering",
]


def dtypes(model: nn.Module) -> set[torch.dtype]:
    return {parameter.dtype for parameter in model.parameters()}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", HEADS)
def test_transformers_saves_and_we_load(name: str, tmp_path: Path) -> None:
    model = stock(name)
    model.save_pretrained(tmp_path)
    loaded = getattr(models, name).from_pretrained(tmp_path)
    assert not loaded.training
    assert_same_state(loaded, model)
    assert_same_outputs(loaded, model)


@pytest.mark.parametrize("name", HEADS)
def test_we_save_and_transformers_loads(name: str, tmp_path: Path) -> None:
    model = ours(name)
    model.save_pretrained(tmp_path)
    loaded, info = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    assert_same_state(loaded, model)
    assert_same_outputs(loaded, model)
    assert loaded.config.architectures == [name]


@pytest.mark.filterwarnings("error")
def test_shards(tmp_path: Path) -> None:
    model = stock()
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert_same_outputs(FNetForMaskedLM.from_pretrained(tmp_path), model)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("sharded", [False, True])
def test_old_bin(zipped: bool, sharded: bool, tmp_path: Path) -> None:
    model = stock()
    model.config.save_pretrained(tmp_path)
    state = {**model.state_dict(), "fnet.embeddings.position_ids": torch.arange(8)[None]}
    names = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
    if sharded:
        weight_map = {key: names[i % 2] for i, key in enumerate(state)}
        index = {"weight_map": weight_map, "metadata": {}}
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    else:
        weight_map = dict.fromkeys(state, "pytorch_model.bin")
    for file in set(weight_map.values()):
        part = {key: state[key] for key in state if weight_map[key] == file}
        torch.save(part, tmp_path / file, _use_new_zipfile_serialization=zipped)
    assert_same_outputs(FNetForMaskedLM.from_pretrained(tmp_path), model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes(dtype: torch.dtype, tmp_path: Path) -> None:
    model = ours().to(dtype)
    model.save_pretrained(tmp_path)
    same = FNetForMaskedLM.from_pretrained(tmp_path)
    assert_same_state(same, model)
    assert dtypes(same) == {dtype}
    assert dtypes(FNetForMaskedLM.from_pretrained(tmp_path, dtype=torch.float32)) == {torch.float32}
    theirs = transformers.FNetForMaskedLM.from_pretrained(tmp_path)
    assert theirs.dtype == dtype
    assert_same_state(theirs, model)


@pytest.mark.filterwarnings("error")
def test_the_widest_dtype_of_a_file_is_kept(tmp_path: Path) -> None:
    model = ours().bfloat16()
    model.get_submodule("fnet.embeddings.LayerNorm").float()
    model.save_pretrained(tmp_path)
    assert dtypes(FNetModel.from_pretrained(tmp_path)) == {torch.float32}


def test_untied_embeddings(tmp_path: Path) -> None:
    model = ours(tie_word_embeddings=False)
    model.save_pretrained(tmp_path / "ours")
    theirs = transformers.FNetForMaskedLM.from_pretrained(tmp_path / "ours")
    assert_same_outputs(theirs, model)
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = FNetForMaskedLM.from_pretrained(tmp_path / "theirs")
    decoder = loaded.cls.predictions.decoder.weight
    assert not torch.equal(decoder, loaded.get_input_embeddings().weight)
    assert_same_outputs(loaded, model)


def test_device(tmp_path: Path) -> None:
    ours().save_pretrained(tmp_path)
    loaded = FNetForMaskedLM.from_pretrained(tmp_path, device="meta")
    assert {p.device.type for p in loaded.parameters()} == {"meta"}


@pytest.mark.filterwarnings("error")
def test_weights_that_transformers_in_tpu_mode_saves(tmp_path: Path) -> None:
    model = stock(use_tpu_fourier_optimizations=True, tpu_short_seq_length=8)
    assert any("dft_mat" in name for name in model.state_dict())
    model.save_pretrained(tmp_path)
    assert_same_outputs(FNetForMaskedLM.from_pretrained(tmp_path), model, tolerance=1e-4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("save", [ours, stock], ids=["ours", "transformers"])
def test_base_model_from_a_head(save: Callable[..., Any], tmp_path: Path) -> None:
    model = save("FNetForPreTraining")
    model.save_pretrained(tmp_path)
    assert_same_outputs(FNetModel.from_pretrained(tmp_path), model.fnet)


@pytest.mark.parametrize("save", [ours, stock], ids=["ours", "transformers"])
def test_head_from_a_base_model(save: Callable[..., Any], tmp_path: Path) -> None:
    model = save("FNetModel")
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="classifier.weight, classifier.bias") as caught:
        loaded = models.FNetForTokenClassification.from_pretrained(tmp_path, num_labels=5)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "not used" not in str(caught[0].message)
    assert loaded.classifier.weight.shape == (5, 16)
    assert 0 < loaded.classifier.weight.std() < 0.1
    assert_same_outputs(loaded.fnet, model)


def test_head_from_another_head(tmp_path: Path) -> None:
    model = ours("FNetForPreTraining")
    model.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="are not used") as caught:
        loaded = models.FNetForSequenceClassification.from_pretrained(tmp_path)
    assert len(caught) == 1
    assert "classifier.weight, classifier.bias are not in it" in str(caught[0].message)
    assert "cls.seq_relationship.bias" in str(caught[0].message)
    assert_same_outputs(loaded.fnet, model.fnet)


def test_num_labels_of_transformers(tmp_path: Path) -> None:
    stock("FNetForSequenceClassification", num_labels=5).save_pretrained(tmp_path / "theirs")
    mine = models.FNetForSequenceClassification.from_pretrained(tmp_path / "theirs")
    assert mine.classifier.weight.shape == (5, 16)
    mine.save_pretrained(tmp_path / "ours")
    theirs = transformers.FNetForSequenceClassification.from_pretrained(tmp_path / "ours")
    assert theirs.config.num_labels == 5
    assert_same_outputs(theirs, mine)


def test_another_number_of_labels(tmp_path: Path) -> None:
    stock("FNetForSequenceClassification", num_labels=5).save_pretrained(tmp_path / "theirs")
    mine = models.FNetForSequenceClassification.from_pretrained
    with pytest.raises(ValueError, match=r"classifier.weight has shape \(5, 16\), not \(3, 16\)"):
        mine(tmp_path / "theirs", num_labels=3)
    stock("FNetModel", num_labels=5).save_pretrained(tmp_path / "base")
    with pytest.warns(UserWarning, match="classifier"):
        model = mine(tmp_path / "base", num_labels=3)
    model.save_pretrained(tmp_path / "ours")
    theirs = transformers.FNetForSequenceClassification.from_pretrained(tmp_path / "ours")
    assert theirs.config.num_labels == 3
