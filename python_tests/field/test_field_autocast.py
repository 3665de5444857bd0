"""Autocast after the formula in torch: float32 out, whatever 16-bit layer came before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

import fnet_kernels as fk
from fnet_kernels import reference
from python_tests.helpers.close import assert_close

LOW = [torch.bfloat16, torch.float16]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def formula_mix(x: Tensor) -> Tensor:
    return torch.fft.fftn(x, dim=(-2, -1)).real


def formula_hartley(x: Tensor) -> Tensor:
    spectrum = torch.fft.fftn(x, dim=(-2, -1))
    return spectrum.real - spectrum.imag


def formula_fused(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    return layer_norm(x + formula_mix(x), x.shape[-1:], weight, bias, 1e-12)


PAIRS: list[tuple[Callable[..., Tensor], Callable[..., Tensor]]] = [
    (fk.fourier_mix, formula_mix),
    (fk.hartley_mix, formula_hartley),
    (fk.fused_fourier_mix, formula_fused),
]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("low", LOW, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("ours", "formula"), PAIRS)
def test_dtype_and_value_are_those_of_the_formula(
    ours: Any, formula: Any, dtype: torch.dtype, low: torch.dtype, compiled: bool
) -> None:
    torch.compiler.reset()
    run = torch.compile(ours, fullgraph=True, backend="aot_eager") if compiled else ours
    x = torch.randn(2, 8, 12).to(dtype)
    with torch.autocast("cpu", low):
        mine, theirs = run(x), formula(x)
    assert mine.dtype == theirs.dtype
    assert_close(mine, formula(x.double()), factor=4)


@pytest.mark.parametrize("low", LOW, ids=str)
def test_a_linear_layer_before_the_mix_does_not_overflow(low: torch.dtype) -> None:
    linear, mix = nn.Linear(768, 768), fk.FourierMix()
    x = 100 + torch.randn(1, 512, 768)
    nn.init.constant_(linear.weight, 1e-2)
    with torch.autocast("cpu", low):
        hidden = linear(x)
        y = mix(hidden)
    assert hidden.dtype == low
    assert y.dtype == torch.float32
    assert y.abs().max() > torch.finfo(torch.float16).max, "a test without large values"
    assert_close(y, formula_mix(hidden.double()))


@pytest.mark.parametrize("low", LOW, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, *LOW], ids=str)
def test_training_gives_the_gradients_of_the_formula(dtype: torch.dtype, low: torch.dtype) -> None:
    linear, mix = nn.Linear(12, 12), fk.FusedFourierMix(12)
    x = torch.randn(2, 8, 12).to(dtype).requires_grad_()
    inputs = (x, *linear.parameters(), *mix.parameters())

    def gradients(mixing: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", low):
            loss = mixing(linear(x) + x).sin().sum()
        assert loss.dtype == torch.float32
        return torch.autograd.grad(loss, inputs)

    for mine, theirs in zip(
        gradients(mix),
        gradients(lambda t: formula_fused(t, mix.weight, mix.bias)),
        strict=True,
    ):
        assert mine.dtype == theirs.dtype
        # Both round the gradient of the 16-bit input of the mixing once.
        assert (mine.double() - theirs.double()).norm() <= 1e-2 * theirs.double().norm()


def test_parameters_of_any_dtype_are_cast() -> None:
    x, weight = torch.randn(2, 8, 12), torch.randn(12)
    for parameter in (weight.bfloat16(), weight.half(), weight.double()):
        with torch.autocast("cpu", torch.bfloat16):
            y = fk.fused_fourier_mix(x.bfloat16(), parameter, parameter)
        wide = parameter.double()
        assert y.dtype == torch.float32
        assert_close(y, formula_fused(x.bfloat16().double(), wide, wide), factor=10)


def test_a_region_with_autocast_off_keeps_16_bits() -> None:
    x = torch.randn(2, 8, 12).bfloat16()
    with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False):
        assert fk.fourier_mix(x).dtype == torch.bfloat16
        assert fk.fused_fourier_mix(x).dtype == torch.bfloat16


def test_an_encoder_under_autocast_keeps_the_residual_stream_in_float32() -> None:
    encoder = fk.FNetEncoder(2, 16, 32).eval()
    x = torch.randn(2, 8, 16)
    with torch.autocast("cpu", torch.float16):
        y = encoder(x)
    assert y.dtype == torch.float32
    assert (y - encoder(x)).abs().max() < 1e-2


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_the_operators_themselves_run_in_float32(low: torch.dtype) -> None:
    x, weight = (1e4 * torch.randn(2, 8, 12)).to(low), torch.randn(12).to(low)
    exact = reference.fourier_mix(x.float())
    assert exact.abs().max() > torch.finfo(torch.float16).max
    ops = torch.ops.fnet_kernels
    with torch.autocast("cpu", low):
        mixed = ops.fourier_mix(x)
        assert mixed.dtype == torch.float32
        assert_close(mixed, exact)
        assert ops.fourier_mix(x.double()).dtype == torch.float64
        assert_close(
            ops.fused_fourier_mix(x, weight, None, 1e-5, 1.0),
            reference.fused_fourier_mix(x.float(), weight.float(), eps=1e-5),
        )
        trained = x.clone().requires_grad_()
        rows = ops.fused_fourier_mix_train(trained, weight, None, 1e-5, 1.0)
        assert {t.dtype for t in rows} == {torch.float32}
        args, varlen = (x, weight, None), ([8, 5], 1, "backward")
        for y in (
            ops.fused_rms_fourier_mix(*args, 1e-5, 1.0),
            ops.fourier_mix_varlen(x, *varlen),
            ops.fused_fourier_mix_varlen(*args, *varlen, 1e-5, 1.0),
            ops.residual_fourier_mix(x, x),
            ops.prenorm_fourier_mix(*args, 1e-5, 1.0, False)[0],
        ):
            assert y.dtype == torch.float32
        rows[0].sum().backward()
        torch.compiler.reset()
        compiled = torch.compile(ops.fourier_mix, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x), mixed)
    assert trained.grad is not None
    assert trained.grad.dtype == low
    assert ops.fourier_mix(x).dtype == low
