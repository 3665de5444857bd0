"""Sequences of different lengths on the device: each as if it were alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from on_device import ALL_DTYPES, REHEARSAL, device, inputs, randn
from torch import Tensor

import fnet_kernels as fk
from python_tests.helpers.sequences import offsets, padded

#: Runs of one length, single ones, an empty sequence, a length without kernels.
LENGTHS = [4, 4, 0, 6, 5] if REHEARSAL else [64, 64, 64, 0, 512, 37, 64, 384]
HIDDEN = 8 if REHEARSAL else 768
TOLERANCES = {4: 1e-5, 8: 1e-12, 2: 3e-2}


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert expected.any()
    error = (actual.double() - expected.double()).abs().max() / expected.double().abs().max()
    assert float(error) <= TOLERANCES[actual.dtype.itemsize]


def run(mix: Any, leaves: tuple[Tensor, ...], grad: Tensor) -> list[Tensor]:
    """The result and all gradients."""
    leaves = tuple(t.detach().requires_grad_() for t in leaves)
    y = mix(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


@pytest.mark.parametrize("round_to", [None, 64])
@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_each_sequence_is_mixed_alone(dtype: torch.dtype, round_to: int | None) -> None:
    x, weight, bias = inputs(sum(LENGTHS), HIDDEN, dtype=dtype)
    grad = randn(*x.shape, dtype=dtype)
    options: dict[str, Any] = {"eps": 1e-3, "norm": "ortho"}

    def alone(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        parts = []
        for part in torch.split(x, LENGTHS):
            zeros = part.new_zeros(-len(part) % (round_to or 1), HIDDEN)
            mixed = fk.fused_fourier_mix(torch.cat([part, zeros]), weight, bias, **options)
            parts.append(mixed[: len(part)])
        return torch.cat(parts)

    def packed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        cu = offsets(LENGTHS)
        return fk.fused_fourier_mix_varlen(x, cu, weight, bias, round_to=round_to, **options)

    def in_rows(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        lengths = {"lengths": LENGTHS, "round_to": round_to}
        return fk.fused_fourier_mix(x, weight, bias, **lengths, **options)

    expected = run(alone, (x, weight, bias), grad)
    for one, other in zip(run(packed, (x, weight, bias), grad), expected, strict=True):
        assert_same(one, other)
    seq = max(LENGTHS) + 1
    rows, grads = (padded(t, LENGTHS, seq, torch.nan) for t in (x, grad))
    y, dx, *vectors = run(in_rows, (rows, weight, bias), grads)
    for one, other in zip((y, dx), expected[:2], strict=True):
        assert_same(one, padded(other, LENGTHS, seq))
        assert not one[:, -1].any()
    for one, other in zip(vectors, expected[2:], strict=True):
        assert_same(one, other)


def test_offsets_on_the_device() -> None:
    x, cu = randn(sum(LENGTHS), HIDDEN), torch.tensor(offsets(LENGTHS), device=device.type)
    assert_same(fk.fourier_mix_varlen(x, cu), fk.fourier_mix_varlen(x, cu.tolist()))


@pytest.mark.skipif(REHEARSAL, reason="a CUDA graph")
def test_offsets_on_the_device_are_refused_in_a_graph() -> None:
    x, cu = randn(sum(LENGTHS), HIDDEN), torch.tensor(offsets(LENGTHS), device=device.type)
    host = cu.tolist()
    expected = fk.fourier_mix_varlen(x, host)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        with pytest.raises(ValueError, match="cu_seqlens must be on the host while a CUDA graph"):
            fk.fourier_mix_varlen(x, cu)
        y = fk.fourier_mix_varlen(x, host)
    graph.replay()
    assert_same(y, expected)
