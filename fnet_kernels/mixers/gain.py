"""The magnitude of a mixer's output.

defines: Gain, check_gain, transform_gain
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import Tensor

from fnet_kernels._ops.checks import check_number, kind

#: "paper", or a number that multiplies the orthonormal form of the mixer.
Gain: TypeAlias = float | Literal["paper"]


def check_gain(owner: str, gain: Gain) -> None:
    if isinstance(gain, str):
        if gain != "paper":
            raise ValueError(f"{owner}: gain must be 'paper' or a number, got {gain!r}")
        return
    try:
        check_number(owner, "gain", gain)
    except TypeError:
        raise TypeError(f"{owner}: gain must be 'paper' or a number, got {kind(gain)}") from None
    if not -float("inf") < gain < float("inf"):
        raise ValueError(f"{owner}: gain must be finite, got {gain}")


def transform_gain(gain: Gain, x: Tensor) -> float:
    """What multiplies an orthonormal transform of `x`: for "paper", as unnormalised, sqrt(seq *
    hidden)."""
    return (x.size(-2) * x.size(-1)) ** 0.5 if isinstance(gain, str) else gain
