"""How many cores the machine really provides: on a shared host two threads may get one core.

defines: available, enough
"""

from __future__ import annotations

import statistics
import time

import torch

_ROUNDS = 15
_ELEMENTS = 1 << 18  # 1 MiB: fits into L2


def available(threads: int) -> float:
    """Throughput of that many threads over that of one, computing sines in L2."""
    x, y = torch.rand(_ELEMENTS), torch.empty(_ELEMENTS)
    before = torch.get_num_threads()
    seconds: dict[int, list[float]] = {1: [], threads: []}
    for _ in range(_ROUNDS):
        for count, samples in seconds.items():
            torch.set_num_threads(count)
            torch.sin(x, out=y)  # creates the thread team outside the timed region
            start = time.perf_counter()
            for _ in range(4):
                torch.sin(x, out=y)
            samples.append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return statistics.median(seconds[1]) / statistics.median(seconds[threads])


def enough(cores: float, threads: int) -> bool:
    """Whether the throughput of `available` is close to one core per thread."""
    return cores >= 0.85 * threads
