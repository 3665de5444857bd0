"""How many cores the machine really gives: on a shared one two threads may have to share a core.

defines: given, enough
"""

from __future__ import annotations

import statistics
import time

import torch

_ROUNDS = 15
_ELEMENTS = 1 << 18  # 1 MiB: a second cache holds it


def given(threads: int) -> float:
    """How many times the work of one thread that many do: sines, which need no memory."""
    x, y = torch.rand(_ELEMENTS), torch.empty(_ELEMENTS)
    before = torch.get_num_threads()
    seconds: dict[int, list[float]] = {1: [], threads: []}
    for _ in range(_ROUNDS):
        for count, samples in seconds.items():
            torch.set_num_threads(count)
            torch.sin(x, out=y)  # the team is made here
            start = time.perf_counter()
            for _ in range(4):
                torch.sin(x, out=y)
            samples.append(time.perf_counter() - start)
    torch.set_num_threads(before)
    return statistics.median(seconds[1]) / statistics.median(seconds[threads])


def enough(cores: float, threads: int) -> bool:
    """Whether `given` cores are as good as one for each thread."""
    return cores >= 0.85 * threads
