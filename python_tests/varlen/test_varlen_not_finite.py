"""What is past the lengths reaches no result and no gradient, however they are computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import fnet_kernels as fk
from python_tests.helpers.close import assert_close

LENGTHS = [3, 8]
PAST = torch.arange(8) >= torch.tensor(LENGTHS)[:, None]


def numbers(*shape: int, past: float = 0.0) -> Tensor:
    """Random numbers, with `past` past the lengths."""
    t = torch.randn(shape, dtype=torch.float64)
    return (torch.where(PAST[..., None], past, t) if len(shape) == 3 else t).requires_grad_()


def test_with_a_scale_that_a_graph_computes() -> None:
    weight = numbers(6)
    results = []
    for past in (0.0, float("nan")):
        torch.manual_seed(0)
        x = numbers(2, 8, 6, past=past)

        def call(x: Tensor, weight: Tensor) -> Tensor:
            return fk.fused_fourier_mix(x, weight, scale=x.shape[1] ** -0.5, lengths=LENGTHS)

        y = torch.compile(call, backend="aot_eager", dynamic=True)(x, weight)
        results.append((y, *torch.autograd.grad(y.sin().sum(), (x, weight))))
    for clean, poisoned in zip(*results, strict=True):
        assert torch.equal(clean, poisoned)
        assert clean.abs().sum() > 0


def test_in_the_second_derivative() -> None:
    x, weight, given = numbers(2, 8, 6), numbers(6), numbers(2, 8, 6)
    results = []
    for past in (0.0, float("nan")):
        grad = torch.where(PAST[..., None], past, given.detach()).requires_grad_()
        y = fk.fused_fourier_mix(x, weight, eps=0.1, lengths=LENGTHS)
        (dx,) = torch.autograd.grad(y, x, grad, create_graph=True)
        results.append(torch.autograd.grad(dx.sin().sum(), (x, weight, grad)))
    for clean, poisoned in zip(*results, strict=True):
        assert torch.equal(clean, poisoned)
        assert clean.abs().sum() > 0


def without_variance(x: Tensor, weight: Tensor, lengths: Any = LENGTHS) -> Tensor:
    """Rows past the lengths are zeros, whose norm is not finite if eps is 0."""
    return fk.fused_fourier_mix(x, weight, eps=0.0, lengths=lengths).sin().sum()


def test_without_variance_in_both_modes() -> None:
    x, weight = numbers(2, 8, 6).detach(), numbers(6).detach()
    gradient = torch.func.grad(without_variance, 1)
    both = torch.func.jvp(lambda x: gradient(x, weight), (x,), (torch.ones_like(x),))

    def tangent(weight: Tensor) -> Tensor:
        _, dy = torch.func.jvp(lambda x: without_variance(x, weight), (x,), (torch.ones_like(x),))
        return dy

    reverse = torch.func.grad(tangent)(weight)
    for t in (*both, reverse):
        assert t.isfinite().all()
        assert t.abs().sum() > 0
    assert_close(reverse, both[1], 10)  # the order of the derivatives does not matter


@pytest.mark.parametrize("as_mask", [False, True])
def test_without_variance_and_with_unread_lengths(as_mask: bool) -> None:
    x, weight = numbers(2, 8, 6).detach(), numbers(6).detach()
    lengths = ~PAST if as_mask else torch.tensor(LENGTHS)
    gradient = torch.func.grad(without_variance, 1)
    found = torch.vmap(gradient, (0, None, 0))(x, weight, lengths)
    assert_close(found.sum(0), gradient(x, weight), 10)
