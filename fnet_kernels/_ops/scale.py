"""The factor of the transform: `scale`, and that of `norm`."""

from __future__ import annotations

import sys

import torch
from torch import Tensor
from torch.compiler import is_compiling

from fnet_kernels._norm import Norm, norm_factor
from fnet_kernels._ops.checks import check_number

_MAX = sys.float_info.max
FLOAT32_MAX = torch.finfo(torch.float32).max
_PLAIN = (int, float)
_SYMBOLIC = (torch.SymFloat, torch.SymInt)


def check_scale(op: str, scale: float) -> bool:
    """Check `scale`, and return whether it is symbolic."""
    check_number(op, "scale", scale)
    if is_symbolic(scale):
        return True
    number = scale if isinstance(scale, (float, int)) else float(scale)
    if not -_MAX <= number <= _MAX:  # rejects NaN, and integers that no float holds
        raise ValueError(f"{op}: scale must be finite, got {scale}")
    return False


def total_scale(op: str, x: Tensor, scale: float, norm: Norm) -> tuple[float, bool]:
    """Return `scale` times the factor of `norm`, and whether the product is symbolic."""
    if not is_compiling() and type(scale) in _PLAIN and scale == 1 and norm == "backward":
        return scale, False  # the usual call, without its checks
    symbolic = check_scale(op, scale)
    if norm != "backward":
        scale = scale * norm_factor(op, x, norm)
        symbolic = is_symbolic(scale)
    if not symbolic and x.dtype is not torch.float64 and not -FLOAT32_MAX <= scale <= FLOAT32_MAX:
        raise ValueError(f"{op}: scale must be finite in float32 for {x.dtype}, got {scale}")
    return scale, symbolic


def constant_scale(scale: float) -> float:
    """Return `scale`, but 1 for 1.0: `torch.compile(dynamic=True)` keeps only 1 a constant."""
    return 1 if scale == 1 else scale


def is_symbolic(value: float) -> bool:
    """Whether a compiler or a trace computes `value` from sizes that it keeps open.

    A comparison fixes the value, and so the sizes; so does passing it to an argument `float` of an
    operator.
    """
    # Dynamo shows a symbolic number as a float, torch.jit.trace as a tensor.
    if not (is_compiling() or isinstance(value, _SYMBOLIC)):
        return isinstance(value, Tensor)
    # Looked up in the call, because importing this module imports sympy.
    return not torch.fx.experimental.symbolic_shapes.has_static_value(value)
