"""Times and peak memory on a CUDA device.

defines: seconds, peak
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def seconds(call: Callable[[], Any]) -> float:
    """Time `call` between two CUDA events, in seconds."""
    event: Any = torch.cuda.Event  # untyped in torch
    start, end = event(enable_timing=True), event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    result = call()
    end.record()
    torch.cuda.synchronize()
    del result
    return float(start.elapsed_time(end)) * 1e-3


def peak(call: Callable[[], Any]) -> int:
    """Peak memory of one `call` in bytes, including its result, from torch's allocator."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = call()
    torch.cuda.synchronize()
    highest = torch.cuda.max_memory_allocated()
    del result
    return highest - before
