"""The threads of a call, made before it is timed.

defines: use_threads
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def use_threads(count: int) -> None:
    """Set the number of threads and make them: OpenMP ends those that a smaller team leaves."""
    torch.set_num_threads(count)
    _elements().add_(1)


@cache
def _elements() -> Tensor:
    """Enough for every thread to have some."""
    return torch.zeros(1 << 20)
