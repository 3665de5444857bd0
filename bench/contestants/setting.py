"""The setting that a contestant is made for, and the error of one that cannot run.

defines: Setting, Sublayer, Absent, reason, or_absent, EPS, COLD
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.shapes import Shape
from fnet_kernels._sizes import LAYER_NORM_EPS

EPS = LAYER_NORM_EPS
COLD = 256 << 20  # bytes of x in rotation: more than the caches of most CPUs and GPUs
_COPIES = 16  # at most; copies of a small x take less than `COLD`
Sublayer = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x, weight, bias) -> y, shaped as x


class Absent(Exception):
    """This contestant cannot run; the message gives the reason."""


def reason(error: BaseException) -> str:
    """The first line of an error, as the reason for an absence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


@contextmanager
def or_absent(absent: dict[str, str], what: str) -> Iterator[None]:
    """Enter in `absent` why `what` does not run, such as a shape that does not fit into memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        absent[what] = reason(error)


@dataclass(frozen=True)
class Setting:
    """Shape (batch, seq, hidden), dtype and device of x; whether gradients are needed."""

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
        """Number of copies of x that fill `COLD` bytes, at most `_COPIES`."""
        return min(_COPIES, max(1, -(-COLD // self.bytes_of_x)))

    @property
    def rotated(self) -> int:
        """Size of all copies in bytes. Each use of x is cold if this exceeds the caches."""
        return self.copies * self.bytes_of_x
