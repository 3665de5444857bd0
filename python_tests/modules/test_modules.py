from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import fnet_kernels as fk
from fnet_kernels import reference
from python_tests.helpers.close import assert_close


def test_fourier_mix() -> None:
    x = torch.randn(2, 8, 12)
    assert torch.equal(fk.FourierMix(scale=0.5)(x), fk.fourier_mix(x, scale=0.5))
    assert not fk.FourierMix().state_dict()


def test_fused_fourier_mix_uses_all_its_settings() -> None:
    mix = fk.FusedFourierMix(12, eps=0.25, scale=0.5, dtype=torch.float64)
    nn.init.normal_(mix.weight)
    nn.init.normal_(mix.bias)
    x = torch.randn(2, 8, 12, dtype=torch.float64)
    expected = reference.fused_fourier_mix(x, mix.weight, mix.bias, 0.25, scale=0.5)
    assert_close(mix(x), expected, factor=10)


SETTINGS = [{}, {"bias": False}, {"elementwise_affine": False}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_parameters_are_those_of_layer_norm(settings: dict[str, bool]) -> None:
    mix, norm = fk.FusedFourierMix(12, **settings), nn.LayerNorm(12, 1e-12, **settings)
    assert list(mix.state_dict()) == list(norm.state_dict())
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    mix.load_state_dict(norm.state_dict())
    norm.load_state_dict(mix.state_dict())
    x = torch.randn(2, 8, 12)
    assert_close(mix(x), norm(x + reference.fourier_mix(x)), factor=10)


def test_reset_parameters() -> None:
    mix = fk.FusedFourierMix(4)
    nn.init.normal_(mix.weight)
    nn.init.normal_(mix.bias)
    mix.reset_parameters()
    assert torch.equal(mix.weight, torch.ones(4))
    assert torch.equal(mix.bias, torch.zeros(4))


def test_device_and_dtype() -> None:
    mix = fk.FusedFourierMix(4, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in mix.parameters()} == {("meta", torch.bfloat16)}
    assert mix(torch.empty(2, 3, 4, device="meta", dtype=torch.bfloat16)).shape == (2, 3, 4)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_another_hidden_size_is_an_error(settings: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match=r"hidden size 12.*got shape \(2, 3, 4\)"):
        fk.FusedFourierMix(12, **settings)(torch.ones(2, 3, 4))


def test_repr_shows_the_settings() -> None:
    assert repr(fk.FourierMix(0.5)) == "FourierMix(scale=0.5, norm=backward)"
    assert repr(fk.FusedFourierMix(12, 1e-5, bias=False)) == (
        "FusedFourierMix(12, eps=1e-05, elementwise_affine=True, bias=False, scale=1.0,"
        " norm=backward)"
    )


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(clone: object) -> None:
    mix = fk.FusedFourierMix(12, scale=0.5)
    x = torch.randn(2, 8, 12)
    assert torch.equal(clone(mix)(x), mix(x))  # type: ignore[operator]


def test_trains_compiled() -> None:
    torch.compiler.reset()
    mix = fk.FusedFourierMix(12)
    x, target = torch.randn(2, 8, 12), torch.randn(2, 8, 12)
    compiled = torch.compile(mix, fullgraph=True, backend="aot_eager")
    optimizer = torch.optim.SGD(mix.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (compiled(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
