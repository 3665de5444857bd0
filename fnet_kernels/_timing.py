"""Interleaved timing: in every round each contestant runs once, in shuffled order, in one process.

defines: Timing, interleave, wall_seconds

Interleaving gives every contestant the same weather (clocks, neighbours, memory pressure), and a
contestant always starts behind another one's working set, never behind its own.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds per call, one entry per round, in the order of the rounds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """First quartile, median and third quartile, in seconds."""
        return quartiles(self.seconds)

    def over(self, other: Timing) -> tuple[float, float, float]:
        """Quartiles of this time over `other`'s, round by round, so that a slow spell cancels."""
        return quartiles([a / b for a, b in zip(self.seconds, other.seconds, strict=True)])


def quartiles(values: list[float] | tuple[float, ...]) -> tuple[float, float, float]:
    """First quartile, median and third quartile of one value or more."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def wall_seconds(call: Callable[[], Any]) -> float:
    """Seconds that `call` takes by the clock; its result is dropped outside the timed region."""
    start = time.perf_counter()
    result = call()
    end = time.perf_counter()
    del result
    return end - start


def interleave(
    calls: Mapping[str, Callable[[], Any]],
    *,
    before: Mapping[str, Callable[[], Any]] | None = None,
    seconds: float = 3.0,
    least: int = 5,
    most: int = 50,
    warm_up: bool = True,
    on_round: Callable[[float], None] | None = None,
    stopwatch: Callable[[Callable[[], Any]], float] = wall_seconds,
    failed: dict[str, str] | None = None,
) -> dict[str, Timing]:
    """Time every call once per round until `seconds` have passed.

    Args:
        calls: name to function; what it returns is dropped at once, outside the timed region.
        before: name to a function that runs, untimed, before each call of that name.
        seconds: wall-clock budget. At least `least` and at most `most` rounds are run.
        warm_up: call each once first, untimed: plans, lazy initialisation, thread pools.
        on_round: called after each round with the part of the work that is done, 0 to 1.
        stopwatch: runs a call, drops its result and returns the seconds that it took.
        failed: where given, a call that raises drops out, and its error is written here; the
            result is without it. Else the error ends the comparison.

    Example:
        >>> timing = interleave({"sum": lambda: sum(range(9))}, least=3, most=3)["sum"]
        >>> len(timing.seconds)
        3
    """
    prepare = before or {}
    names = list(calls)
    taken: dict[str, list[float]] = {name: [] for name in names}
    order = random.Random(0)

    def run(name: str) -> float | None:
        try:
            if name in prepare:
                prepare[name]()
            return stopwatch(calls[name])
        except Exception as error:
            if failed is None:
                raise
            failed[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
            names.remove(name)
            return None

    for name in list(names) if warm_up else ():
        run(name)
    collecting = gc.isenabled()
    gc.disable()
    try:
        began = time.perf_counter()
        for done in range(1, most + 1):
            order.shuffle(names)
            for name in list(names):
                spent = run(name)
                if spent is not None:
                    taken[name].append(spent)
            elapsed = time.perf_counter() - began
            if on_round is not None:
                budget = elapsed / seconds if seconds > 0 else 1.0
                on_round(max(done / most, min(done / least, budget, 1.0)))
            if done >= least and elapsed >= seconds:
                break
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(tuple(taken[name])) for name in calls if name in names}
