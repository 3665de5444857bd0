"""Checkpoints that cannot be loaded, and wrong arguments."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fnet_kernels.models import FNetConfig, FNetForMaskedLM, FNetModel
from fnet_kernels.models.checkpoint import _some
from python_tests.helpers.checkpoints import ours

pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")


def rewrite(directory: Path, **fields: Any) -> None:
    """Change fields of the directory's config."""
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def rewrite_weights(directory: Path, change: Callable[[Any], Any]) -> None:
    path = directory / "model.safetensors"
    tensors = change(safetensors.load_file(path))
    safetensors.save_file(tensors, path)


class _Malicious:
    def __reduce__(self) -> Any:
        return (os.abort, ())


def test_bin_with_code_is_refused(tmp_path: Path) -> None:
    ours().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"x": _Malicious()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot read"):
        FNetForMaskedLM.from_pretrained(tmp_path)


def broken(directory: Path, what: str) -> tuple[type[Exception], str]:
    """Save a model and damage its directory; return what the error must say."""
    ours().save_pretrained(directory)
    weights = directory / "model.safetensors"
    word = "fnet.embeddings.word_embeddings.weight"
    if what == "no config":
        (directory / "config.json").unlink()
        return FileNotFoundError, "has no config.json"
    if what == "no weights":
        weights.unlink()
        return FileNotFoundError, "has none of model.safetensors, "
    if what == "no shard":
        weights.unlink()
        index = {"weight_map": {word: "model-00001-of-00001.safetensors"}}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
        return FileNotFoundError, "has no model-00001-of-00001.safetensors"
    if what == "index without files":
        weights.unlink()
        (directory / "model.safetensors.index.json").write_text("{}")
        return ValueError, "cannot read .*index.json: weight_map must hold the file of each tensor"
    if what == "index of numbers":
        weights.unlink()
        (directory / "model.safetensors.index.json").write_text('{"weight_map": {"a": 3}}')
        return ValueError, "cannot read .*index.json: weight_map must hold the file of each tensor"
    if what == "truncated":
        weights.write_bytes(weights.read_bytes()[:-10])
        return ValueError, "cannot read .*model.safetensors"
    if what == "another architecture":
        rewrite(directory, model_type="bert")
        return ValueError, "must have model_type 'fnet' or 'fnet_kernels'; got 'bert'"
    if what == "config is a list":
        (directory / "config.json").write_text("[]")
        return ValueError, "cannot read .*config.json: it must hold an object, got list"
    if what == "config is no JSON":
        (directory / "config.json").write_text("{")
        return ValueError, "cannot read .*config.json: "
    if what == "nested bin":
        weights.unlink()
        torch.save({"model": {"x": torch.ones(1)}}, directory / "pytorch_model.bin")
        return ValueError, "cannot read .*pytorch_model.bin: 'model' is no tensor, but a dict"
    if what == "too many layers":
        rewrite(directory, num_hidden_layers=4)
        return ValueError, r"lacks fnet.encoder.layer.2.fourier.output.LayerNorm.w.*, and 6 more"
    if what == "shape":
        rewrite(directory, vocab_size=51)
        return ValueError, rf"{word} has shape \(50, 16\), not \(51, 16\)"
    decoder = "cls.predictions.decoder.weight"
    if what == "tied in two dtypes":
        rewrite_weights(directory, lambda t: {**t, decoder: t[word].half()})
        return ValueError, r"has torch\.float.*, not torch\.float.*, as .*, to which it is tied"
    assert what == "untied"
    rewrite_weights(directory, lambda t: {**t, decoder: t[word] + 1})
    return ValueError, f"{decoder} differs from {word}, to which it is tied"


@pytest.mark.parametrize(
    "what",
    [
        "no config",
        "no weights",
        "no shard",
        "index without files",
        "index of numbers",
        "tied in two dtypes",
        "truncated",
        "another architecture",
        "config is a list",
        "config is no JSON",
        "nested bin",
        "too many layers",
        "shape",
        "untied",
    ],
)
def test_what_is_broken_is_named(what: str, tmp_path: Path) -> None:
    error, message = broken(tmp_path, what)
    with pytest.raises(error, match=f"^FNetForMaskedLM.from_pretrained: .*{message}"):
        FNetForMaskedLM.from_pretrained(tmp_path)


def test_ten_names_are_listed_whole() -> None:
    names = [str(i) for i in range(11)]
    assert _some(names[:10]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert _some(names) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 1 more"


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (3, {}, TypeError, "source must be a str or a path, got int"),
        ("./nowhere/at/all", {}, FileNotFoundError, "source must be a directory or a name on"),
        (".", {"dtype": torch.int8}, TypeError, "dtype must be"),
        (None, {"hidden": 3}, TypeError, "'hidden' is neither an option nor a field"),
    ],
)
def test_arguments(
    source: Any, options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    ours().save_pretrained(tmp_path)
    with pytest.raises(error, match=f"^FNetForMaskedLM.from_pretrained: .*{message}"):
        FNetForMaskedLM.from_pretrained(tmp_path if source is None else source, **options)


def test_a_config_without_json_replaces_nothing(tmp_path: Path) -> None:
    ours().save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    model = ours()
    model.config.extra["callback"] = print
    with pytest.raises(TypeError, match="JSON"):
        model.save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_numbers_of_numpy_are_saved(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    config = FNetConfig.mini(vocab_size=50, gain=numpy.float32(2), layer_norm_eps=numpy.float32(0))
    FNetModel(config).save_pretrained(tmp_path)
    again = FNetModel.from_pretrained(tmp_path).config
    assert (again.gain, again.layer_norm_eps) == (2.0, 0.0)


def test_a_diverged_model_loads(tmp_path: Path) -> None:
    model = ours()
    model.fnet.embeddings.word_embeddings.weight.data[0, 0] = float("nan")
    model.fnet.pooler.dense.bias.data[0] = float("nan")
    model.save_pretrained(tmp_path)
    again = FNetForMaskedLM.from_pretrained(tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name].nan_to_num(7.0), tensor.nan_to_num(7.0)), name


def test_untied_weights_are_not_saved_as_tied(tmp_path: Path) -> None:
    model = ours()
    trunk = FNetModel(model.config)
    model.fnet.load_state_dict(trunk.state_dict(), assign=True)
    with pytest.raises(ValueError, match=r"decoder.weight must be fnet.*call tie_weights\(\)"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
    model.tie_weights()
    model.save_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["./nope", "../nope", "nope/", "-nope"])
def test_a_missing_directory_is_no_name_on_the_hub(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="source must be a directory or a name on the"):
        FNetModel.from_pretrained(name)
