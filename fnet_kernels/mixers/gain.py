"""The magnitude of a mixer's output.

defines: Gain, checked_gain, transform_gain
"""

from __future__ import annotations

import sys
from typing import Literal, TypeAlias

from torch import Tensor

from fnet_kernels._ops.checks import check_number, kind

#: "paper", or a number that multiplies the orthonormal form of the mixer.
Gain: TypeAlias = float | Literal["paper"]


def checked_gain(owner: str, gain: Gain) -> Gain:
    """Return `gain`, a number as a float, after checking it."""
    if isinstance(gain, str):
        if gain != "paper":
            raise ValueError(f"{owner}: gain must be 'paper' or a number, got {gain!r}")
        return gain
    try:
        check_number(owner, "gain", gain)
    except TypeError:
        raise TypeError(f"{owner}: gain must be 'paper' or a number, got {kind(gain)}") from None
    number = gain if isinstance(gain, (float, int)) else float(gain)
    if not abs(number) <= sys.float_info.max:  # rejects NaN, and integers that no float holds
        raise ValueError(f"{owner}: gain must be finite, got {gain}")
    return float(number)


def transform_gain(gain: Gain, x: Tensor) -> float:
    """What multiplies an orthonormal transform of `x`: for "paper", as unnormalised, sqrt(seq *
    hidden)."""
    return (x.size(-2) * x.size(-1)) ** 0.5 if isinstance(gain, str) else gain
