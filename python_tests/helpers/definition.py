"""The operators and the LayerNorm gradient by their definitions, in NumPy.

Every function computes in the precision of its arguments. This file does not import torch, because
the tests of the CUDA simulator run without it.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

Array = np.ndarray


def mix(x: Array) -> Array:
    """Re(FFT2(x)) over the last two axes."""
    return scipy.fft.fft2(x).real


def hartley(x: Array) -> Array:
    """Re(FFT2(x)) - Im(FFT2(x)) over the last two axes."""
    spectrum = scipy.fft.fft2(x)
    return spectrum.real - spectrum.imag


def normalised(u: Array, eps: float, rms: bool = False) -> tuple[Array, Array]:
    """Rows of `u` with mean 0 and variance 1, and rstd = 1 / sqrt(variance + eps) of each row.

    With `rms`, RMSNorm: rows with mean square 1.
    """
    centred = u if rms else u - u.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(np.square(centred).mean(-1, keepdims=True) + eps)
    return centred * rstd, rstd[..., 0]


def norm_gradient(g: Array, rows: Array, rstd: Array, rms: bool = False) -> Array:
    """Gradient of `normalised` with respect to u, for the gradient `g` of its rows."""
    along = (g * rows).mean(-1, keepdims=True)
    mean = 0 if rms else g.mean(-1, keepdims=True)
    return rstd[..., None] * (g - mean - rows * along)
