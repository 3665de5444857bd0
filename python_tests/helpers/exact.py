"""The operators and their gradients by their definitions, in NumPy: the truth of accuracy tests.

float64 is computed in extended precision, all else in float64.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from torch import Tensor, float64

#: Whether NumPy transforms in more precision than float64 here.
EXTENDED = (
    np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
    and np.fft.fft(np.zeros(2, np.longdouble)).dtype == np.clongdouble
)


def widened(t: Tensor) -> ndarray:
    """The numbers of `t` in the precision that the truth is computed in."""
    return t.detach().double().numpy().astype(np.longdouble if t.dtype == float64 else np.float64)


def mix(x: ndarray) -> ndarray:
    """Re(FFT2(x))."""
    return np.fft.fft2(x).real


def normalised(u: ndarray, eps: float) -> tuple[ndarray, ndarray]:
    """The rows of `u` less their mean over their deviation, and one over that deviation."""
    centred = u - u.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(np.square(centred).mean(-1, keepdims=True) + eps)
    return centred * rstd, rstd


def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> dict[str, ndarray]:
    """By operator: the transform, plus x, and the LayerNorm of that."""
    u = widened(x)
    m = mix(u)
    rows, _ = normalised(u + m, eps)
    return {"mix": m, "residual": u + m, "norm": rows * widened(weight) + widened(bias)}


def gradients(x: Tensor, weight: Tensor, eps: float, grad: Tensor) -> dict[str, ndarray]:
    """Of the fused operator, by argument, for the gradient `grad` of its result."""
    u, dy = widened(x), widened(grad)
    rows, rstd = normalised(u + mix(u), eps)
    g = dy * widened(weight)
    along = (g * rows).mean(-1, keepdims=True)
    du = rstd * (g - g.mean(-1, keepdims=True) - rows * along)
    return {"x": du + mix(du), "weight": (dy * rows).sum((0, 1)), "bias": dy.sum((0, 1))}
