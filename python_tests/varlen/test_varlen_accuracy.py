"""Accuracy and gradients against the definition in float64; a wrong result fails."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import fnet_kernels as fk
from fnet_kernels import reference
from python_tests.helpers.close import assert_close
from python_tests.helpers.sequences import offsets, padded

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


@pytest.mark.parametrize("past", [1.0, torch.nan])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradients_of_padded_rows_sum_over_valid_tokens(
    dtype: torch.dtype, past: float
) -> None:
    """Chunks of the sums have parts of a sequence, or several sequences with padding between."""
    lengths = [9, 0, 0, 3, 70, 1, 5, 5, 5, 5, 0, 33, 16, 2, 0]
    cu, seq, factor = offsets(lengths), 71, 4 if dtype.itemsize == 2 else 8
    x, grad = (torch.randn(cu[-1], HIDDEN).to(dtype) for _ in range(2))
    affine = [torch.randn(HIDDEN).to(dtype) for _ in range(2)]

    def gradients(mix: Callable[..., Tensor], rows: Tensor, dy: Tensor, **cut: Any) -> list[Tensor]:
        inputs = [t.to(dy.dtype).requires_grad_() for t in (rows.clone(), *affine)]
        y = mix(inputs[0], weight=inputs[1], bias=inputs[2], eps=1e-3, norm="ortho", **cut)
        return list(torch.autograd.grad(y, inputs, dy))

    def exact(dy: Tensor) -> list[Tensor]:
        return gradients(reference.fused_fourier_mix_varlen, x, dy, cu_seqlens=cu)

    batch, batch_grad = (padded(t, lengths, seq, past) for t in (x, grad))
    found = gradients(fk.fused_fourier_mix, batch, batch_grad, lengths=lengths)
    right = exact(grad.double())
    right[0] = padded(right[0], lengths, seq)
    for ours, formula in zip(found, right, strict=True):
        assert_close(ours, formula, factor)
    for begin, end in pairwise(cu):
        if begin == end:
            continue
        without = grad.double().clone()
        without[begin:end] = 0
        for ours, wrong in zip(found[1:], exact(without)[1:], strict=True):
            assert_not_close(ours, wrong, factor)


def test_what_is_not_finite_stays_in_its_sequence() -> None:
    x, cu = torch.randn(20, 12), [0, 6, 13, 20]
    x[9, 3] = torch.nan
    for round_to in (None, 8):
        for mix in (fk.fourier_mix_varlen, fk.fused_fourier_mix_varlen):
            y = mix(x, cu, round_to=round_to)
            assert not y[6:13].isfinite().any()
            assert y[:6].isfinite().all()
            assert y[13:].isfinite().all()
