"""The checks that mixers have in common.

defines: check_dtype_of_parameters, checked
"""

from __future__ import annotations

import torch
from torch import Tensor

from fnet_kernels._ops.checks import autocasting, check_x, kind


def checked(mixer: str, x: Tensor, hidden_size: int) -> Tensor:
    """Return `x` after checking it; under autocast in at least float32."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{mixer}: x must be a torch.Tensor, got {kind(x)}")
    x = check_x(mixer, x)
    if x.size(-1) != hidden_size:
        raise ValueError(
            f"{mixer}: x must have shape [..., seq, {hidden_size}]; got shape {tuple(x.shape)}"
        )
    return x


def check_dtype_of_parameters(mixer: str, x: Tensor, dtype: torch.dtype) -> None:
    """Check that `x` has the dtype of the parameters, or that autocast makes them one."""
    cast = autocasting(x) and torch.float64 not in (x.dtype, dtype)
    if x.dtype is not dtype and not cast:
        raise TypeError(f"{mixer}: x must have the dtype of the parameters, {dtype}; got {x.dtype}")
