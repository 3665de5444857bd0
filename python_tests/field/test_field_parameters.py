"""Weight and bias in float32 beside 16-bit x, as FSDP and mixed precision keep them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import fnet_kernels as fk
from fnet_kernels import reference
from python_tests.helpers.close import assert_close, relative_error

LOW = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("shape", [(3, 16, 24), (2, 37, 24), (1, 4, 16)], ids=str)
@pytest.mark.parametrize("dtype", LOW, ids=str)
@pytest.mark.parametrize("given", ["weight bias", "weight", "bias"])
def test_float32_parameters_with_16_bit_x(
    given: str, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    hidden = shape[-1]
    x = torch.randn(shape).to(dtype).requires_grad_()
    # A weight of 1 + 2^-12 is 1 in 16 bits, and so is its bias lost.
    weight = (1 + torch.randn(hidden) * 2**-12).requires_grad_() if "weight" in given else None
    bias = torch.randn(hidden).requires_grad_() if "bias" in given else None
    inputs = [t for t in (x, weight, bias) if t is not None]

    def loss(y: Tensor) -> Tensor:
        return (y.double() * torch.linspace(-1, 1, hidden, dtype=torch.float64)).sum()

    y = fk.fused_fourier_mix(x, weight, bias, 1e-5)
    assert y.dtype == dtype
    wide = [None if t is None else t.detach().double().requires_grad_() for t in (x, weight, bias)]
    truth = reference.fused_fourier_mix(*wide, 1e-5)
    assert_close(y, truth, factor=2)
    assert torch.equal(y, fk.fused_fourier_mix(x.detach(), weight, bias, 1e-5)), (
        "training and inference agree"
    )
    mine = torch.autograd.grad(loss(y), inputs)
    theirs = torch.autograd.grad(loss(truth), [t for t in wide if t is not None])
    for given_input, a, b in zip(inputs, mine, theirs, strict=True):
        assert a.dtype == given_input.dtype
        # Gradients of rows that 16 bits hold; the sums over rows round no more.
        assert relative_error(a, b) < 2e-2


def test_float32_parameters_are_not_rounded() -> None:
    x = torch.randn(2, 16, 24).bfloat16()
    bias = torch.full((24,), 2.0**-20)
    y = fk.fused_fourier_mix(x, torch.full((24,), 2.0**-14), bias, 1e-5)
    weight = torch.full((24,), 1 + 2**-9)
    row = reference.fused_fourier_mix(x.double(), eps=1e-5)
    assert_close(y, row * 2.0**-14 + bias.double())
    # Half of a unit of bfloat16 above 1 decides how some products round.
    y = fk.fused_fourier_mix(x, weight, eps=1e-5)
    assert torch.equal(y, fk.fused_fourier_mix(x.float(), weight, eps=1e-5).bfloat16())
    assert not torch.equal(y, fk.fused_fourier_mix(x, weight.bfloat16(), eps=1e-5))


@pytest.mark.parametrize("dtype", LOW, ids=str)
def test_sums_for_float32_parameters_stay_in_float32(dtype: torch.dtype) -> None:
    x = torch.randn(4, 16, 24).to(dtype)
    weight, bias = (torch.ones(24, requires_grad=True) for _ in range(2))
    y = fk.fused_fourier_mix(x.requires_grad_(), weight, bias, 1e-5)
    upstream = torch.randn(4, 16, 24).to(dtype)
    _, dweight, dbias = torch.autograd.grad(y, (x, weight, bias), upstream)
    assert relative_error(dbias, upstream.double().sum((0, 1))) < 1e-6
    rows = reference.fused_fourier_mix(x.detach().double(), eps=1e-5)
    assert relative_error(dweight, (upstream.double() * rows).sum((0, 1))) < 4e-3
    # The same without a gradient for x, and for the bias alone.
    y = fk.fused_fourier_mix(x.detach(), None, bias, 1e-5)
    assert relative_error(torch.autograd.grad(y, bias, upstream)[0], dbias) < 1e-6
    y = fk.fused_fourier_mix(x, None, bias, 1e-5)
    assert relative_error(torch.autograd.grad(y, bias, upstream)[0], dbias) < 1e-6


def test_one_parameter_in_float32_and_one_in_16_bits() -> None:
    x = torch.randn(2, 8, 12).bfloat16()
    weight = torch.randn(12, requires_grad=True)
    bias = torch.randn(12).bfloat16().requires_grad_()
    for given in ((weight, bias), (bias, weight)):
        y = fk.fused_fourier_mix(x, *given, 1e-5)
        truth = reference.fused_fourier_mix(*(t.double() for t in (x, *given)), 1e-5)
        assert_close(y, truth, factor=2)
        for parameter, gradient in zip(given, torch.autograd.grad(y.sum(), given), strict=True):
            assert gradient.dtype == parameter.dtype


def test_norms_in_float32_inside_a_bfloat16_model() -> None:
    encoder = fk.FNetEncoder(2, 16, 32, dropout=0.0).bfloat16()
    for layer in encoder:
        layer.fourier.float()
    x = torch.randn(2, 8, 16).bfloat16()
    torch.compiler.reset()
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    for run in (encoder, compiled):
        encoder.zero_grad()
        run(x).float().square().sum().backward()
        for layer in encoder:
            for parameter in layer.fourier.parameters():
                assert parameter.grad is not None
                assert parameter.grad.dtype == torch.float32
                assert parameter.grad.isfinite().all()


def test_float32_parameters_in_higher_order_and_functional_derivatives() -> None:
    x = torch.randn(2, 8, 12).bfloat16()
    weight, bias = torch.randn(12), torch.randn(12)

    def loss(weight: Tensor, bias: Tensor, fused: Any = fk.fused_fourier_mix) -> Tensor:
        return (
            fused(x.to(weight.dtype) if fused is reference else x, weight, bias, 1e-5).sin().sum()
        )

    exact = torch.func.grad(
        lambda w, b: reference.fused_fourier_mix(x.double(), w, b, 1e-5).sin().sum(), (0, 1)
    )(weight.double(), bias.double())
    for mine, theirs in zip(torch.func.grad(loss, (0, 1))(weight, bias), exact, strict=True):
        assert mine.dtype == torch.float32
        assert relative_error(mine, theirs) < 2e-2
    leaves = (weight.requires_grad_(), bias.requires_grad_())
    first = torch.autograd.grad(loss(*leaves), leaves, create_graph=True)
    assert [t.dtype for t in first] == [torch.float32, torch.float32]
    second = torch.autograd.grad(first[0].square().sum(), leaves)
    assert [t.dtype for t in second] == [torch.float32, torch.float32]
