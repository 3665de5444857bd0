"""Each pass of the CUDA forward alone."""

from __future__ import annotations

import numpy as np
import pytest
from arrays import Array, assert_accurate, fetch, load, store
from problems import DTYPES, H100, MODULE, OK, errors, numbers

from python_tests.helpers.definition import mix

SHAPES = [(2, 16, 64), (1, 384, 768)]


def packed_spectrum(x: Array) -> Array:
    """F[p, k, j] of cuda/kernels.h: even and odd rows separately, two real columns per line."""
    *_, seq, hidden = x.shape
    g = x + np.roll(x[:, ::-1, ::-1], 1, (1, 2))
    lines = (g[..., ::2] + 1j * g[..., 1::2])[..., : hidden // 4 + 1]
    halves = np.stack([np.fft.fft(lines[:, p::2], axis=1) for p in (0, 1)], 1)
    k = np.arange(seq // 2)[:, None]
    halves[:, 1] *= np.exp(-2j * np.pi * k / seq)
    return halves


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_seq_pass(shape: tuple[int, int, int], dtype: str) -> None:
    x = store(numbers(*shape), dtype)
    output = MODULE.seq_pass(x, dtype, H100, 0)
    assert output["status"] == OK
    assert errors(output) == []
    assert [launch["kernel"] for launch in output["launches"]] == ["seq_fft"]
    exact = packed_spectrum(load(x, dtype))
    batch, seq, hidden = shape
    F = output["spectrum"].view(np.complex64).reshape(batch, 2, seq // 2, -1)
    F = F[..., : hidden // 4 + 1]
    assert np.abs(F - exact).max() <= 1e-6 * np.abs(exact).max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_row_pass(shape: tuple[int, int, int], dtype: str) -> None:
    stored = store(numbers(*shape), dtype)
    x = load(stored, dtype)
    F = packed_spectrum(x)
    padding = -F.shape[-1] % 4  # whole sectors
    F = np.pad(F, [(0, 0)] * 3 + [(0, padding)]).astype(np.complex64)
    output = MODULE.row_pass(stored, dtype, 0.5, F, H100, 0)
    assert output["status"] == OK
    assert errors(output) == []
    assert [launch["kernel"] for launch in output["launches"]] == ["row_fft"]
    narrow = x.astype(np.float32)
    baseline = narrow + np.float32(0.5) * mix(narrow)
    assert_accurate(fetch(output["y"], dtype, shape), x + 0.5 * mix(x), baseline, dtype)
