"""Identities of M(x) = Re(FFT2(x)) (docs/design.md), on shapes that hypothesis chooses."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fnet_kernels import explain, fourier_mix, fused_fourier_mix

LENGTH = st.one_of(st.integers(1, 40), st.sampled_from([64, 97, 100, 128]))
quick = settings(max_examples=40, deadline=None, derandomize=True)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def mirrored(x: Tensor) -> Tensor:
    """x[-n, -m]."""
    return x.flip(-2, -1).roll((1, 1), (-2, -1))


def assert_same(a: Tensor, b: Tensor) -> None:
    assert b.any()
    assert float((a - b).abs().max()) <= 1e-12 * float(b.abs().max())


@quick
@given(LENGTH, LENGTH, st.floats(-4, 4))
def test_linear(seq: int, hidden: int, factor: float) -> None:
    x, y = numbers(seq, hidden), numbers(seq, hidden, seed=1)
    assert_same(fourier_mix(x + factor * y), fourier_mix(x) + factor * fourier_mix(y))


@quick
@given(LENGTH, LENGTH)
def test_self_adjoint(seq: int, hidden: int) -> None:
    x, y = numbers(seq, hidden), numbers(seq, hidden, seed=1)
    left, right = (fourier_mix(x) * y).sum(), (x * fourier_mix(y)).sum()
    assert abs(float(left - right)) <= 1e-12 * float(fourier_mix(x).norm() * y.norm())


@quick
@given(LENGTH, LENGTH)
def test_result_is_its_own_mirror(seq: int, hidden: int) -> None:
    y = fourier_mix(numbers(seq, hidden))
    assert_same(mirrored(y), y)


@quick
@given(LENGTH, LENGTH)
def test_twice_is_the_fold(seq: int, hidden: int) -> None:
    x = numbers(seq, hidden)
    fold = (x + mirrored(x)) / 2
    assert_same(fourier_mix(fourier_mix(x)), seq * hidden * fold)


@quick
@given(LENGTH, LENGTH, st.integers(0, 10_000))
def test_impulse_gives_a_cosine(seq: int, hidden: int, at: int) -> None:
    n, m = at % seq, at // seq % hidden
    x = torch.zeros(seq, hidden, dtype=torch.float64)
    x[n, m] = 1
    k = torch.arange(seq).double()[:, None] * n / seq
    phase = k % 1 + torch.arange(hidden).double() * m / hidden % 1
    assert float((fourier_mix(x) - torch.cos(2 * torch.pi * phase)).abs().max()) < 1e-12


@quick
@given(LENGTH, LENGTH, st.permutations(range(5)))
def test_sequences_are_independent(seq: int, hidden: int, order: list[int]) -> None:
    x = numbers(5, seq, hidden)
    # torch.fft, and kernels whose lanes hold something else, may round differently.
    all_, one = explain(x), explain(x[2])
    whole = fused_fourier_mix(x, eps=1e-3)
    same = torch.equal if all_.path == "kernels" else torch.allclose
    assert same(whole[order], fused_fourier_mix(x[order], eps=1e-3))
    same = torch.equal if all_.path == "kernels" and all_.lanes == one.lanes else torch.allclose
    assert same(whole[2], fused_fourier_mix(x[2], eps=1e-3))
