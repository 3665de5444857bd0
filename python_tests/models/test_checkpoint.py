"""Checkpoints: those of transformers, ours, and what is wrong with others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fnet_kernels import models
from fnet_kernels.mixers import list_mixers
from fnet_kernels.models import FNetConfig, FNetForMaskedLM, FNetModel
from python_tests.helpers.paths import ROOT

transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

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
SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "max_position_embeddings": 8,
}
TOKENS = torch.arange(16).reshape(2, 8)


def randomized(model: Any) -> Any:
    """Return `model` in evaluation mode, with no parameter at a value that another one has too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + 0.05)
    return model.eval()


def ours(name: str = "FNetForMaskedLM", **options: Any) -> Any:
    return randomized(getattr(models, name)(FNetConfig(**SIZES, **options)))


def stock(name: str = "FNetForMaskedLM", **options: Any) -> Any:
    return randomized(getattr(transformers, name)(transformers.FNetConfig(**SIZES, **options)))


def outputs(model: nn.Module) -> list[Tensor]:
    """All tensors that `model` returns, without the absent loss."""
    name = type(model).__name__
    tokens = TOKENS.reshape(2, 2, 4) if name.endswith("ForMultipleChoice") else TOKENS
    with torch.no_grad():
        result = model(tokens)
    values = result.to_tuple() if hasattr(result, "to_tuple") else result
    return [value for value in values if isinstance(value, Tensor)]


def assert_same_outputs(actual: nn.Module, expected: nn.Module, tolerance: float = 1e-5) -> None:
    for mine, theirs in zip(outputs(actual), outputs(expected), strict=True):
        torch.testing.assert_close(mine, theirs, atol=tolerance, rtol=tolerance)


def assert_same_state(actual: nn.Module, expected: nn.Module) -> None:
    state = actual.state_dict()
    assert state.keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(state[name], tensor), name


def dtypes(model: nn.Module) -> set[torch.dtype]:
    return {parameter.dtype for parameter in model.parameters()}


def rewrite(directory: Path, **fields: Any) -> None:
    """Change fields of the directory's config."""
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def rewrite_weights(directory: Path, change: Callable[[Any], Any]) -> None:
    path = directory / "model.safetensors"
    tensors = change(safetensors.load_file(path))
    safetensors.save_file(tensors, path)


@pytest.fixture
def silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# With transformers


@pytest.mark.usefixtures("silent")
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


@pytest.mark.usefixtures("silent")
def test_shards(tmp_path: Path) -> None:
    model = stock()
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert_same_outputs(FNetForMaskedLM.from_pretrained(tmp_path), model)


@pytest.mark.usefixtures("silent")
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


class _Malicious:
    def __reduce__(self) -> Any:
        return (os.abort, ())


def test_bin_with_code_is_refused(tmp_path: Path) -> None:
    ours().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"x": _Malicious()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot read"):
        FNetForMaskedLM.from_pretrained(tmp_path)


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


@pytest.mark.usefixtures("silent")
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


@pytest.mark.usefixtures("silent")
def test_weights_that_transformers_in_tpu_mode_saves(tmp_path: Path) -> None:
    model = stock(use_tpu_fourier_optimizations=True, tpu_short_seq_length=8)
    assert any("dft_mat" in name for name in model.state_dict())
    model.save_pretrained(tmp_path)
    assert_same_outputs(FNetForMaskedLM.from_pretrained(tmp_path), model, tolerance=1e-4)


# Heads


@pytest.mark.usefixtures("silent")
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


# What is saved


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


@pytest.mark.usefixtures("silent")
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


@pytest.mark.usefixtures("silent")
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


# What cannot be loaded


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
    assert what == "untied"
    decoder = "cls.predictions.decoder.weight"
    rewrite_weights(directory, lambda t: {**t, decoder: t[word] + 1})
    return ValueError, f"{decoder} differs from {word}, to which it is tied"


@pytest.mark.parametrize(
    "what",
    [
        "no config",
        "no weights",
        "no shard",
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


# The hub


def cached(cache: Path, repository: str, models_of_revisions: list[Any]) -> None:
    """Lay out a repository in the hub's cache as a download does."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "refs" / "v2").write_text("1" * 40)
    for i, model in enumerate(models_of_revisions):
        model.save_pretrained(folder / "snapshots" / (str(i) * 40))


@pytest.mark.usefixtures("silent")
def test_hub(tmp_path: Path) -> None:
    first, second = ours(), stock(num_labels=3)
    second.get_input_embeddings().weight.data += 1
    cached(tmp_path, "someone/model", [first, second])
    options = {"cache_dir": tmp_path, "local_files_only": True}
    for revision, model in ((None, first), ("v2", second)):
        loaded = FNetForMaskedLM.from_pretrained("someone/model", revision=revision, **options)
        assert_same_state(loaded, model)


def test_not_in_the_cache(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"someone/other has no config.json: .*cache"):
        FNetModel.from_pretrained("someone/other", cache_dir=tmp_path, local_files_only=True)


# Without what is optional

HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
HIDDEN = {"transformers", "safetensors", "huggingface_hub"}
sys.meta_path.insert(0, Hidden())
"""


def run(code: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_with_torch_alone(tmp_path: Path) -> None:
    model = ours()
    model.save_pretrained(tmp_path / "safetensors")
    model.save_pretrained(tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    code = """
import torch
from fnet_kernels import hf
from fnet_kernels.models import FNetForMaskedLM, checkpoint
model = FNetForMaskedLM.from_pretrained(sys.argv[1] + "/bin")
model(torch.arange(8)[None])

def message(function, *arguments):
    try:
        function(*arguments)
    except ImportError as error:
        return str(error)
    raise AssertionError("no error")

def expected(method, package):
    return f"FNetForMaskedLM.{method} needs {package}: run `pip install 'fnet_kernels[models]'`"

save, load = model.save_pretrained, FNetForMaskedLM.from_pretrained
new, safetensors = sys.argv[1] + "/new", sys.argv[1] + "/safetensors"
assert message(save, new) == expected("save_pretrained", "safetensors")
assert message(load, safetensors) == expected("from_pretrained", "safetensors")
assert message(load, "a/b") == expected("from_pretrained", "huggingface_hub")
assert "pip install transformers" in message(hf.register)
assert not HIDDEN & sys.modules.keys()
"""
    run(HIDE + code, str(tmp_path))
