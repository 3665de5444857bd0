"""Storage types as NumPy arrays of their bits, the exact results, and the bars of accuracy.

float32: the error is at most twice that of a float32 FFT library on the same input, with a floor of
two units in the last place. 16-bit: at most twice the error of rounding the exact result.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from tools.cuda_sim import STORAGE, store

Array = np.ndarray
EPS = 1e-12


def compute_type(dtype: str) -> np.dtype:
    return np.dtype(np.float64 if dtype == "float64" else np.float32)


def load(stored: Array, dtype: str) -> Array:
    """What was stored, in float64."""
    if dtype == "bfloat16":
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float64)


def fetch(raw: Array, dtype: str, shape: tuple[int, ...]) -> Array:
    """Bytes that a kernel wrote, in float64."""
    return load(np.asarray(raw).view(STORAGE[dtype]).reshape(shape), dtype)


def mixed(x: Array) -> Array:
    """Re(FFT2(x)) in the precision of x."""
    return scipy.fft.fft2(x).real


def normalised(u: Array) -> tuple[Array, Array]:
    """Rows of u with mean 0 and variance 1, and 1 / sqrt(var + eps)."""
    rstd = 1 / np.sqrt(u.var(-1, keepdims=True) + EPS)
    return (u - u.mean(-1, keepdims=True)) * rstd, rstd[..., 0]


def epilogue(kind: int, x: Array, scale: float, weight: Array, bias: Array) -> Array:
    """The op: 0 mix, 1 residual, 2 LayerNorm."""
    m = x.dtype.type(scale) * mixed(x)
    if kind == 0:
        return m
    return x + m if kind == 1 else normalised(x + m)[0] * weight + bias


def assert_within_bar(result: Array, truth: Array, baseline: Array | None, dtype: str) -> None:
    """`result` meets the bar; `baseline` is a float32 library's result."""
    assert result.shape == truth.shape
    assert np.abs(truth).max() > 0, "a comparison with zeros proves nothing"
    error = np.abs(result - truth)
    error = float(np.where(np.isfinite(error), error, np.inf).max())
    largest = float(np.abs(truth).max())
    if dtype in ("bfloat16", "float16"):
        allowed = 2 * np.abs(load(store(truth, dtype), dtype) - truth).max() + 1e-6 * largest
    elif dtype == "float32":
        assert baseline is not None
        ulps = 2 * np.finfo(np.float32).eps * largest
        allowed = 2 * max(float(np.abs(baseline - truth).max()), ulps)
    else:
        allowed = 1e-13 * largest
    assert error <= allowed, f"error {error:.2e}, allowed {allowed:.2e}"
