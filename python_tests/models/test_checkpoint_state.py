"""`save_pretrained(state_dict=...)`, and models whose tensors no file can hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.testing._internal.two_tensor import TwoTensor

from fnet_kernels.models import FNetForMaskedLM, FNetModel
from python_tests.helpers.checkpoints import ours
from python_tests.helpers.same_models import assert_same_state

safetensors = pytest.importorskip("safetensors.torch")
pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = "fnet.embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def copies(model: nn.Module) -> dict[str, Tensor]:
    """The state dict with tensors of its own, as gathered from a sharded model."""
    return {name: tensor.clone() for name, tensor in reversed(model.state_dict().items())}


def without(*names: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {name: t for name, t in state.items() if name not in names}


@pytest.mark.parametrize("change", [dict, without(DECODER), without(WORDS)])
@pytest.mark.parametrize("tied", [True, False])
def test_a_state_dict_is_saved_as_the_models_own(
    change: Callable[[Any], Any], tied: bool, tmp_path: Path
) -> None:
    model = ours(tie_word_embeddings=tied)
    model.save_pretrained(tmp_path / "own")
    state = change(copies(model))
    if not tied and len(state) < len(model.state_dict()):
        with pytest.raises(ValueError, match="state_dict must have all names of the model"):
            model.save_pretrained(tmp_path / "given", state_dict=state)
        return
    with torch.no_grad():  # what the model holds is not read
        for parameter in model.parameters():
            parameter.zero_()
    model.save_pretrained(tmp_path / "given", state_dict=state)
    assert files(tmp_path / "given") == files(tmp_path / "own")


def test_the_dtype_of_a_state_dict_is_saved(tmp_path: Path) -> None:
    model = ours()
    state = {name: tensor.bfloat16() for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path, state_dict=state)
    assert_same_state(FNetForMaskedLM.from_pretrained(tmp_path), model.bfloat16())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda state: list(state), TypeError, "state_dict must be a mapping, got list"),
        (lambda state: {}, ValueError, f"all names of the model; it has 0 names without {WORDS}"),
        (without("cls.predictions.bias", "cls.predictions.decoder.bias"), ValueError, "without"),
        (lambda state: {**state, "x": 1}, ValueError, "have the names of the model; got x"),
        (
            lambda state: {**state, WORDS: None},
            TypeError,
            f"{WORDS} in state_dict must be a tensor, got None",
        ),
        (
            lambda state: {**state, WORDS: torch.ones(3, 16)},
            ValueError,
            rf"{WORDS} in state_dict must have shape \(50, 16\), as in the model; got shape \(3,",
        ),
        (
            lambda state: {**state, DECODER: state[WORDS] + 1},
            ValueError,
            f"{DECODER} must be {WORDS}, to which the configuration ties it",
        ),
        (
            lambda state: {**state, DECODER: state[WORDS].double()},
            ValueError,
            f"{DECODER} must be {WORDS}, to which the configuration ties it",
        ),
        (
            lambda state: {**state, WORDS: state[WORDS].to("meta")},
            ValueError,
            f"{WORDS} must have values, got a tensor on meta",
        ),
    ],
)
def test_a_wrong_state_dict_is_refused(
    change: Callable[[Any], Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    model = ours()
    model.save_pretrained(tmp_path)
    before = files(tmp_path)
    with pytest.raises(error, match=f"^FNetForMaskedLM.save_pretrained: .*{message}"):
        model.save_pretrained(tmp_path, state_dict=change(copies(model)))
    assert files(tmp_path) == before


def test_a_model_on_meta_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{WORDS} must have values, got a tensor on meta"):
        ours().to("meta").save_pretrained(tmp_path)


class _Packed(nn.Module):
    """A layer whose state is not made of tensors alone, as that of a dynamically quantized one."""

    def get_extra_state(self) -> torch.dtype:
        return torch.qint8

    def set_extra_state(self, state: torch.dtype) -> None:
        """Nothing to restore."""


@pytest.mark.parametrize("kind", ["dtype", "TwoTensor"])
def test_a_quantized_model_is_refused(kind: str, tmp_path: Path) -> None:
    model = ours()
    dense = model.fnet.encoder.layer[1].output
    if kind == "dtype":
        dense.dense = _Packed()
    else:
        weight = dense.dense.weight.detach()
        dense.dense.weight = nn.Parameter(TwoTensor(weight, weight))
    message = rf"layer.1.output.dense.\w+ must be a plain tensor, got {kind}, as in a quantized"
    with pytest.raises(TypeError, match=message):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


class _Double(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 2


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("change", "undo", "remedy"),
    [
        (
            lambda m: prune.l1_unstructured(m, "weight", 0.5),
            prune.remove,
            "pruned .*torch.nn.utils.prune.remove",
        ),
        (
            lambda m: parametrize.register_parametrization(m, "weight", _Double()),
            parametrize.remove_parametrizations,
            "parametrized .*torch.nn.utils.parametrize.remove_parametrizations",
        ),
        (
            parametrizations.weight_norm,
            parametrize.remove_parametrizations,
            "parametrized .*remove_parametrizations",
        ),
        (
            nn.utils.weight_norm,
            nn.utils.remove_weight_norm,
            "normalised .*torch.nn.utils.remove_weight_norm",
        ),
        (
            nn.utils.spectral_norm,
            nn.utils.remove_spectral_norm,
            "normalised .*torch.nn.utils.remove_spectral_norm",
        ),
    ],
)
def test_a_computed_parameter_is_refused(
    change: Callable[[nn.Module], Any], undo: Callable[..., Any], remedy: str, tmp_path: Path
) -> None:
    model = ours()
    path = "fnet.encoder.layer.1.output.dense"
    dense = model.get_submodule(path)
    change(dense)
    message = rf"{path}.weight must be an ordinary parameter; got a {remedy}\(module, 'weight'\)"
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
    undo(*([dense] if undo is nn.utils.remove_weight_norm else [dense, "weight"]))
    model.save_pretrained(tmp_path)
    loaded, state = FNetForMaskedLM.from_pretrained(tmp_path).state_dict(), model.state_dict()
    assert loaded.keys() == state.keys()  # in another order
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


@pytest.mark.filterwarnings("error")
def test_layers_that_share_parameters(tmp_path: Path) -> None:
    model = ours("FNetModel")
    model.encoder.layer[1] = model.encoder.layer[0]
    for state in (None, model.state_dict()):
        model.save_pretrained(tmp_path, state_dict=state)
        assert_same_state(FNetModel.from_pretrained(tmp_path), model)


@pytest.mark.filterwarnings("error")
def test_compiled_layers(tmp_path: Path) -> None:
    model = ours()
    expected = copies(model)
    layers = model.fnet.encoder.layer
    layers[0] = torch.compile(layers[0], backend="eager")
    model.fnet.embeddings.word_embeddings = torch.compile(
        model.fnet.embeddings.word_embeddings, backend="eager"
    )
    assert any("_orig_mod" in name for name in model.state_dict())
    for state in (None, model.state_dict(), expected):
        model.save_pretrained(tmp_path, state_dict=state)
        loaded = FNetForMaskedLM.from_pretrained(tmp_path).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())
