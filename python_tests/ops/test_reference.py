"""The reference itself against numpy.fft and the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm

from fnet_kernels import reference
from python_tests.helpers import exact
from python_tests.helpers.close import assert_close

SHAPES = [
    (1, 1),
    (1, 7),  # one token
    (5, 1),  # one channel
    (2, 3, 4),
    (3, 2, 17, 13),  # odd primes, two leading axes
    (2, 64, 96),
]


def definition(x: torch.Tensor) -> torch.Tensor:
    """Re(sum_nm x[n, m] exp(-2 pi i (k n / N + l m / d))) as a sum of cosines, in O((N d)^2)."""
    seq, hidden = x.shape[-2:]
    k, n = torch.arange(seq).double(), torch.arange(seq).double()
    l, m = torch.arange(hidden).double(), torch.arange(hidden).double()  # noqa: E741
    phase = (k[:, None] * n / seq)[:, None, :, None] + (l[:, None] * m / hidden)[None, :, None, :]
    return torch.einsum("klnm,...nm->...kl", torch.cos(2 * math.pi * phase), x)


@pytest.mark.parametrize("shape", SHAPES)
def test_fourier_mix_matches_numpy(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    expected = torch.from_numpy(np.fft.fft2(x.numpy()).real.copy())
    assert_close(reference.fourier_mix(x), expected)
    assert_close(reference.fourier_mix(x, scale=0.25), expected / 4)


@pytest.mark.parametrize("shape", SHAPES[:-1])
def test_fourier_mix_matches_its_definition(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    assert_close(reference.fourier_mix(x), definition(x), factor=10)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_fused_fourier_mix_matches_its_definition(scale: float) -> None:
    x, weight, bias = (torch.randn(s, dtype=torch.float64) for s in ((2, 6, 10), (10,), (10,)))
    u = (x + scale * definition(x)).numpy()
    rows = (u - u.mean(-1, keepdims=True)) / np.sqrt(u.var(-1, keepdims=True) + 0.5)
    y = reference.fused_fourier_mix(x, weight, bias, eps=0.5, scale=scale)
    assert_close(y, torch.from_numpy(rows) * weight + bias, factor=10)
    assert_close(
        reference.fused_fourier_mix(x, eps=0.5, scale=scale), torch.from_numpy(rows), factor=10
    )


def test_exact_results_match_the_definition() -> None:
    x, grad, weight, bias = (
        torch.randn(s, dtype=torch.float64) for s in ((2, 6, 10), (2, 6, 10), (10,), (10,))
    )
    found = exact.forward(x, weight, bias, 0.5)
    expected = {"mix": definition(x), "residual": x + definition(x)}
    expected["norm"] = layer_norm(expected["residual"], (10,), weight, bias, 0.5)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    y = layer_norm(x + definition(x), (10,), weight, bias, 0.5)
    derivatives = torch.autograd.grad(y, leaves, grad)
    found |= exact.gradients(x, weight, 0.5, grad)
    expected |= dict(zip(("x", "weight", "bias"), derivatives, strict=True))
    for name, value in expected.items():
        assert_close(torch.from_numpy(found[name].astype(float)), value, factor=10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_are_computed_in_float32_and_rounded_once(dtype: torch.dtype) -> None:
    x, weight, bias = (torch.randn(size).to(dtype) for size in ((2, 8, 12), (12,), (12,)))
    y = reference.fused_fourier_mix(x, weight, bias)
    wide = reference.fused_fourier_mix(x.float(), weight.float(), bias.float())
    assert y.dtype == dtype
    assert torch.equal(y, wide.to(dtype))
    assert torch.equal(reference.fourier_mix(x), reference.fourier_mix(x.float()).to(dtype))


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)])
def test_empty(shape: tuple[int, ...]) -> None:
    assert reference.fourier_mix(torch.empty(shape)).shape == shape
    assert reference.fused_fourier_mix(torch.empty(shape)).shape == shape


@pytest.mark.parametrize("cu_seqlens", [[0, 3], [1, 4], [0, 3, 2, 4], [0, 9], []], ids=str)
def test_offsets_cover_the_rows(cu_seqlens: list[int]) -> None:
    for name in ("fourier_mix_varlen", "fused_fourier_mix_varlen"):
        message = rf"{name}: cu_seqlens must rise from 0 .* of x, 4; got \[{str(cu_seqlens)[1:-1]}"
        with pytest.raises(ValueError, match=message):
            getattr(reference, name)(torch.ones(4, 3), cu_seqlens)


def test_layer_norm_needs_eps() -> None:
    with pytest.raises(TypeError, match="eps must be a number with norm_type='layer', got None"):
        reference.fused_fourier_mix(torch.ones(4, 3), eps=None)
