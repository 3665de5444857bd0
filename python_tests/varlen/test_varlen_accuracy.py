"""Accuracy and gradients against the definition in float64; a wrong result fails."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import fnet_kernels as fk
from fnet_kernels import reference
from python_tests.helpers.close import assert_close
from python_tests.helpers.sequences import offsets

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
LENGTHS = [100, 1, 0, 512, 197, 16]
HIDDEN = 96


def inputs(dtype: torch.dtype) -> list[Tensor]:
    sizes = ((sum(LENGTHS), HIDDEN), (HIDDEN,), (HIDDEN,))
    return [torch.randn(size).to(dtype).requires_grad_() for size in sizes]


def assert_not_close(actual: Tensor, expected: Tensor, factor: float) -> None:
    with pytest.raises(AssertionError, match="relative error"):
        assert_close(actual, expected, factor)


@pytest.mark.parametrize("round_to", [None, 64])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_forward(dtype: torch.dtype, round_to: int | None) -> None:
    x, weight, bias = inputs(dtype)
    wide = [t.detach().double() for t in (x, weight, bias)]
    cu, options = offsets(LENGTHS), {"norm": "ortho", "round_to": round_to}
    y = fk.fourier_mix_varlen(x, cu, **options)
    expected = reference.fourier_mix_varlen(wide[0], cu, **options)
    z = fk.fused_fourier_mix_varlen(x, cu, weight, bias, 1e-3, **options)
    fused = reference.fused_fourier_mix_varlen(wide[0], cu, *wide[1:], 1e-3, **options)
    for actual, right, factor in ((y, expected, 2), (z, fused, 2)):
        assert_close(actual, right, factor)
        for begin in cu[:-1]:  # one wrong row of any sequence
            if begin in (100, 101):  # an empty one has none
                continue
            wrong = actual.detach().clone()
            wrong[begin] = 0
            assert_not_close(wrong, right, factor)


@pytest.mark.parametrize("round_to", [None, 64])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients(dtype: torch.dtype, round_to: int | None) -> None:
    tensors = inputs(dtype)
    wide = [t.detach().double().requires_grad_() for t in tensors]
    cu, options = offsets(LENGTHS), {"norm": "ortho", "round_to": round_to}
    y = fk.fused_fourier_mix_varlen(tensors[0], cu, *tensors[1:], 1e-3, **options)
    expected = reference.fused_fourier_mix_varlen(wide[0], cu, *wide[1:], 1e-3, **options)
    grad = torch.randn(y.shape).to(dtype)
    found = torch.autograd.grad(y, tensors, grad)
    right = torch.autograd.grad(expected, wide, grad.double())
    for name, ours, formula in zip(("x", "weight", "bias"), found, right, strict=True):
        factor = 4 if dtype.itemsize == 2 else 8
        assert_close(ours, formula, factor)
        assert_not_close(torch.zeros_like(ours), formula, factor)
        assert ours.dtype == dtype, name


def test_the_gradient_of_padded_rows_sums_over_valid_tokens() -> None:
    lengths = [3, 0, 5]
    x = torch.randn(3, 6, 8, dtype=torch.float64)
    weight, bias = (torch.randn(8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    grad = torch.randn(x.shape, dtype=torch.float64)
    y = fk.fused_fourier_mix(x, weight, bias, 1e-3, lengths=lengths)
    found = torch.autograd.grad(y, (weight, bias), grad)
    packed = torch.cat([x[0, :3], x[2, :5]])
    expected = reference.fused_fourier_mix_varlen(packed, [0, 3, 8], weight, bias, 1e-3)
    right = torch.autograd.grad(expected, (weight, bias), torch.cat([grad[0, :3], grad[2, :5]]))
    for ours, formula in zip(found, right, strict=True):
        assert_close(ours, formula, 10)
    assert_not_close(grad.sum((0, 1)), right[1], 10)


def test_what_is_not_finite_stays_in_its_sequence() -> None:
    x, cu = torch.randn(20, 12), [0, 6, 13, 20]
    x[9, 3] = torch.nan
    for round_to in (None, 8):
        for mix in (fk.fourier_mix_varlen, fk.fused_fourier_mix_varlen):
            y = mix(x, cu, round_to=round_to)
            assert not y[6:13].isfinite().any()
            assert y[:6].isfinite().all()
            assert y[13:].isfinite().all()
