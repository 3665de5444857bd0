"""What is saved of a model, and models that transformers does not compute."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fnet_kernels.mixers import list_mixers
from fnet_kernels.models import FNetConfig, FNetForMaskedLM
from python_tests.helpers.checkpoints import SIZES, assert_same_outputs, ours, stock
from python_tests.helpers.same_models import assert_same_state

transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")


def test_files(tmp_path: Path) -> None:
    config = transformers.FNetConfig(**SIZES, my_field=[1, "a"])
    model = ours()
    model.config = FNetConfig.from_dict(config.to_dict())
    model.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == "fnet"
    assert saved["architectures"] == ["FNetForMaskedLM"]
    assert saved["dtype"] == "float32"
    assert saved["my_field"] == [1, "a"]
    with safetensors.safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        stock().save_pretrained(tmp_path / "theirs")
        theirs = tmp_path / "theirs" / "model.safetensors"
        with safetensors.safe_open(theirs, "pt") as expected:
            assert sorted(file.keys()) == sorted(expected.keys())  # tied weights once


OTHERS = {
    "mixer": {"mixer": "attention"},
    "gain": {"gain": 1.0},
    "hybrid": {"num_attention_layers": 1},
    "pooling": {"pooling": "mean"},
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("options", OTHERS.values(), ids=OTHERS)
def test_what_transformers_does_not_compute_has_another_type(
    options: dict[str, Any], tmp_path: Path
) -> None:
    model = ours(**options)
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == "fnet_kernels"
    assert saved["architectures"] == ["FNetMixerForMaskedLM"]
    loaded = FNetForMaskedLM.from_pretrained(tmp_path)
    assert_same_state(loaded, model)
    assert_same_outputs(loaded, model)
    assert loaded.config.to_dict() | {"architectures": 0} == {
        **saved,
        "architectures": 0,
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mixer", list_mixers())
def test_round_trip_of_every_mixer(mixer: str, tmp_path: Path) -> None:
    model = ours(mixer=mixer)
    model.save_pretrained(tmp_path)
    loaded = FNetForMaskedLM.from_pretrained(tmp_path)
    assert_same_state(loaded, model)
    assert_same_outputs(loaded, model, tolerance=0)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_an_interrupted_save_keeps_the_old_files(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours().save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    replace = os.replace

    def fails(source: Path, target: Path) -> None:
        if os.path.basename(target) == file:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(KeyboardInterrupt):
        ours().save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
