"""Reference results of the accuracy tests, with more precision than the results under test.

For float64 tensors they are computed in extended precision, otherwise in float64.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy import ndarray
from torch import Tensor, float64

from python_tests.helpers.definition import hartley, mix, norm_gradient, normalised

#: Whether SciPy's FFT has more precision than float64 on this machine.
EXTENDED = (
    np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
    and scipy.fft.fft(np.zeros(2, np.longdouble)).dtype == np.clongdouble
)


def widened(t: Tensor) -> ndarray:
    """The values of `t` in the precision of the reference results."""
    return t.detach().double().numpy().astype(np.longdouble if t.dtype == float64 else np.float64)


def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> dict[str, ndarray]:
    """By operator: mixing, mixing with residual, the LayerNorm of that, the Hartley transform."""
    u = widened(x)
    m = mix(u)
    rows, _ = normalised(u + m, eps)
    return {
        "mix": m,
        "residual": u + m,
        "norm": rows * widened(weight) + widened(bias),
        "hartley": hartley(u),
    }


def gradients(x: Tensor, weight: Tensor, eps: float, grad: Tensor) -> dict[str, ndarray]:
    """Gradients of the fused operator by argument, for the gradient `grad` of its result."""
    u, dy = widened(x), widened(grad)
    rows, rstd = normalised(u + mix(u), eps)
    du = norm_gradient(dy * widened(weight), rows, rstd)
    return {"x": du + mix(du), "weight": (dy * rows).sum((0, 1)), "bias": dy.sum((0, 1))}
