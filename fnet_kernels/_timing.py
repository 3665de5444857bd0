"""Interleaved timing: every round runs each contestant once, in shuffled order, in one process.

defines: Timing, interleave, wall_seconds

Interleaving exposes all contestants to the same clock frequency, machine load and memory pressure.
A contestant also finds the caches as another one left them, rarely filled with its own data.
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
    """Seconds per call, one entry per round, in order.

    `in_rounds` is false for calls outside the rounds: they pair with no other times.
    """

    seconds: tuple[float, ...]
    in_rounds: bool = True

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """First quartile, median and third quartile, in seconds."""
        return quartiles(self.seconds)

    def over(self, other: Timing) -> tuple[float, float, float]:
        """Quartiles of the ratio of this time to `other`'s in the same round.

        A change of machine load slows both times of a round and cancels. Of calls outside the
        rounds, it is the ratio of the medians.
        """
        if not (self.in_rounds and other.in_rounds):
            return quartiles((self.median / other.median,))
        return quartiles([a / b for a, b in zip(self.seconds, other.seconds, strict=True)])


def quartiles(values: list[float] | tuple[float, ...]) -> tuple[float, float, float]:
    """First quartile, median and third quartile of at least one value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def wall_seconds(call: Callable[[], Any]) -> float:
    """Wall-clock seconds of one `call`. Freeing its result is not timed."""
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
    minimum: int = 5,
    maximum: int = 50,
    warm_up: bool = True,
    on_round: Callable[[float], None] | None = None,
    stopwatch: Callable[[Callable[[], Any]], float] = wall_seconds,
    failed: dict[str, str] | None = None,
) -> dict[str, Timing]:
    """Time every call once per round until `seconds` have passed.

    Args:
        calls: the functions to time, by name. `stopwatch` discards their results.
        before: untimed setup functions, by name; each runs before every call of that name.
        seconds: wall-clock budget in seconds.
        minimum: run at least this many rounds.
        maximum: run at most this many rounds.
        warm_up: first run each call once, untimed, to build plans, caches and thread pools.
        on_round: called after each round with the fraction of the work that is done, 0 to 1.
        stopwatch: runs a call, discards its result and returns the seconds it took.
        failed: if given, receives the error message of each call that raises, by name. The
            comparison goes on without that call.

    Returns:
        The times by name, in the order of `calls`, without the calls that failed.

    Raises:
        Exception: what a call raises, if `failed` is None.

    >>> timing = interleave({"sum": lambda: sum(range(9))}, minimum=3, maximum=3)["sum"]
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
        for done in range(1, maximum + 1):
            order.shuffle(names)
            for name in list(names):
                spent = run(name)
                if spent is not None:
                    taken[name].append(spent)
            elapsed = time.perf_counter() - began
            if on_round is not None:
                budget = elapsed / seconds if seconds > 0 else 1.0
                on_round(max(done / maximum, min(done / minimum, budget, 1.0)))
            if done >= minimum and elapsed >= seconds:
                break
    finally:
        if collecting:
            gc.enable()
    return {name: Timing(tuple(taken[name])) for name in calls if name in names}
