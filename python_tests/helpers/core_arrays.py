"""NumPy arrays and checks of the tests of the core, which know no torch."""

from __future__ import annotations

import numpy as np


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


def transform(x: np.ndarray) -> np.ndarray:
    """Re(FFT2(x)) in float64."""
    return np.fft.fft2(x.astype(np.float64)).real


def normalised(u: np.ndarray, eps: float) -> np.ndarray:
    """The rows of u with mean 0 and variance 1."""
    return (u - u.mean(-1, keepdims=True)) / np.sqrt(u.var(-1, keepdims=True) + eps)


def rms_normalised(u: np.ndarray, eps: float) -> np.ndarray:
    """The rows of u with mean square 1."""
    return u / np.sqrt(np.square(u).mean(-1, keepdims=True) + eps)


def assert_close(a: np.ndarray, b: np.ndarray, tolerance: float) -> None:
    """a is b within the tolerance, relative to the largest of b; a thousandth more is not."""
    assert np.abs(b).max() > 0
    assert np.abs(a - b).max() <= tolerance * np.abs(b).max()
    assert not np.abs(a * 1.001 - b).max() <= tolerance * np.abs(b).max()
