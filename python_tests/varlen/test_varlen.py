"""Sequences of different lengths: each is mixed as if it were alone."""

from __future__ import annotations

from itertools import pairwise

import torch

import fnet_kernels as fk

CU_SEQLENS = [0, 7, 7, 20, 33, 60]


def test_each_sequence_is_mixed_alone() -> None:
    x, weight, bias = torch.randn(60, 24), torch.randn(24), torch.randn(24)
    y = fk.fused_fourier_mix_varlen(x, CU_SEQLENS, weight, bias, norm="ortho")
    alone = [
        fk.fused_fourier_mix(x[begin:end], weight, bias, norm="ortho")
        for begin, end in pairwise(CU_SEQLENS)
    ]
    assert torch.equal(y, torch.cat(alone))


def test_rows_past_a_length_are_zeros_with_zero_gradient() -> None:
    x = torch.randn(3, 10, 24, requires_grad=True)
    y = fk.fused_fourier_mix(x, bias=torch.ones(24), lengths=[4, 10, 0])
    y.square().sum().backward()
    assert x.grad is not None
    for t in (y, x.grad):
        assert t[0, :4].any()
        assert t[1].any()
        assert not t[0, 4:].any()
        assert not t[2].any()
