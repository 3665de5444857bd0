"""What a contestant is made for, and how it says that it cannot be.

defines: Setting, Sublayer, Absent, reason, EPS, COLD
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.shapes import Shape
from fnet_kernels._sizes import LAYER_NORM_EPS

EPS = LAYER_NORM_EPS
COLD = 256 << 20  # bytes of x in rotation: past the caches of most processors and of GPUs
Sublayer = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x, weight, bias) -> y, shaped as x


class Absent(Exception):
    """This contestant cannot run here; the message says why."""


def reason(error: BaseException) -> str:
    """The first line of an error: why a contestant is absent."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


@dataclass(frozen=True)
class Setting:
    """Shape (batch, seq, hidden), dtype and device of x; whether gradients are wanted."""

    shape: Shape
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    backward: bool = False

    @property
    def bytes_of_x(self) -> int:
        """Size of x in bytes."""
        batch, seq, hidden = self.shape
        return batch * seq * hidden * self.dtype.itemsize

    @property
    def copies(self) -> int:
        """How many equal x make `COLD` bytes, at most 16: each is cold when its turn comes."""
        return min(16, max(1, -(-COLD // self.bytes_of_x)))
