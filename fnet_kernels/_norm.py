"""The argument `norm` of `torch.fft`, as a factor of the transform.

defines: Norm, check_norm, norm_factor
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

Norm: TypeAlias = Literal["backward", "ortho", "forward"] | None

_NAMES = ("backward", "ortho", "forward")


def check_norm(op: str, norm: Norm) -> None:
    if norm is not None and not (isinstance(norm, str) and norm in _NAMES):
        names = ", ".join(map(repr, _NAMES))
        raise ValueError(f"{op}: norm must be one of {names}; got {norm!r}")


def norm_factor(op: str, x: Tensor, norm: Norm) -> float:
    """1, (seq * hidden)^(-1/2) or 1 / (seq * hidden); symbolic where the sizes of x are.

    An empty x counts as one element.
    """
    check_norm(op, norm)
    if norm == "backward" or norm is None:
        return 1.0
    count: Any = x.size(-2) * x.size(-1)
    traced = isinstance(count, Tensor)  # under torch.jit.trace
    # The compiler of torch 2.11 accepts sym_max of sizes that are symbols only, and max of all.
    larger = max if is_dynamo_compiling() else torch.sym_max
    count = count.double().clamp(min=1) if traced else larger(1, count)  # type: ignore[no-untyped-call]
    inverse: float = 1.0 / count
    return inverse if norm == "forward" else inverse**0.5
