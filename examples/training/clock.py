"""The clock of a training, which `--minutes` and the log read.

defines: Clock, clock
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from examples.training import distributed


@dataclass(frozen=True)
class Clock:
    """The name of a clock, for the header of the log, and its time in seconds."""

    name: str
    now: Callable[[], float]


def clock(device: torch.device) -> Clock:
    """The processor's time where it is that of the training, and else wall time.

    One process with one thread of a CPU computes whenever it has the processor. Other work on the
    machine lengthens the wall time of its training, but not the processor's.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1 and distributed.processes() == 1
    return Clock("processor", time.process_time) if alone else Clock("wall", time.perf_counter)
