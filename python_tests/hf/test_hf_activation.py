"""`patch_fnet` makes "gelu_new" one kernel, and nothing else of an activation changes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fnet_kernels import hf
from python_tests.helpers.fnet_models import build

transformers = pytest.importorskip("transformers")


def activations(model: nn.Module) -> list[nn.Module]:
    names = ("intermediate_act_fn", "transform_act_fn")
    return [getattr(m, name) for m in model.modules() for name in names if hasattr(m, name)]


def classes(model: nn.Module) -> list[str]:
    return [type(activation).__name__ for activation in activations(model)]


def test_layers_and_heads_are_patched_and_restored() -> None:
    model = build("FNetForMaskedLM")
    stock, layers = classes(model), len(model.fnet.encoder.layer)
    assert stock == ["NewGELUActivation"] * (layers + 1)
    for _ in range(2):
        hf.patch_fnet(model)
        assert classes(model) == ["FusedNewGELU"] * (layers + 1)
    assert classes(pickle.loads(pickle.dumps(model))) == classes(copy.deepcopy(model))
    hf.unpatch_fnet(model)
    assert classes(model) == stock


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_function_is_that_of_transformers(dtype: torch.dtype) -> None:
    model = build().to(dtype)
    ours, stock = activations(model)[0], copy.deepcopy(activations(model)[0])
    hf.patch_fnet(model)
    assert type(ours) is not type(stock)
    x = torch.linspace(-8, 8, 4001, dtype=dtype)
    expected = stock(x.double())
    half_a_unit = 4 * torch.finfo(dtype).eps  # in the last place of 8

    def error(y: Tensor) -> float:
        return float((y.double() - expected).abs().max())

    assert error(ours(x)) <= 1.01 * half_a_unit
    if dtype in (torch.float32, torch.float64):
        assert error(nn.functional.gelu(x)) > 1e-4, "the bound tells the two GELUs apart"


def test_other_activations_stay() -> None:
    model = build(hidden_act="gelu")
    stock = classes(model)
    for change in (hf.patch_fnet, hf.unpatch_fnet):
        change(model)
        assert classes(model) == stock
    assert "NewGELUActivation" not in stock

    class Mine(type(activations(build())[0])):  # type: ignore[misc]
        pass

    model = build()
    replaced, subclassed, *_ = activations(model)
    replaced.forward = torch.relu  # type: ignore[method-assign]
    subclassed.__class__ = Mine
    hf.patch_fnet(model)
    assert classes(model)[:2] == ["NewGELUActivation", "Mine"]
    x = torch.linspace(-2, 2, 9)
    assert torch.equal(replaced(x), torch.relu(x))


def test_those_of_skipped_layers_stay() -> None:
    model = build("FNetForMaskedLM")
    model.fnet.encoder.layer[0].fourier.forward = lambda hidden_states: (hidden_states,)
    with pytest.warns(UserWarning, match="skipped 1 FNet layers"):
        hf.patch_fnet(model)
    assert classes(model) == ["NewGELUActivation", "FusedNewGELU", "FusedNewGELU"]


def test_activations_of_other_models_stay() -> None:
    other: Any = transformers.GPT2Model(
        transformers.GPT2Config(n_layer=1, n_embd=16, n_head=1, vocab_size=8)
    )
    both = nn.ModuleList([build(), other])
    hf.patch_fnet(both)
    assert type(other.h[0].mlp.act).__name__ == "NewGELUActivation"
