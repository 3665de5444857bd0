"""The gate: ours against a rival of nearly its speed, both measured in the same run.

defines: SLACK, BLOCKS, Case, CASES, settle, calls, least_ratio, twice_as_slow, limit, recorded,
record

Absolute times mean nothing on another or a busy machine; the ratio of two interleaved ones does.
The rival is eager layer_norm(x + x): the same memory, vector code of torch's own, no FFT library
that one vendor tunes and another does not. One thread: with two, a neighbour on one core stretches
every barrier, and the ratio with it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.contestants.registry import CONTESTANTS, ours
from bench.measure import machine
from bench.measure.pages import pages
from bench.measure.timing import Problem, prepared, ready
from bench.shapes import Shape, label

REFERENCE = Path(__file__).parent / "reference.json"
#: A ratio may grow to so much of the recorded one. On a machine of exactly the recorded ratio,
#: noise and a halved speed are equally far from the limit.
SLACK = 2**0.5
BLOCKS, ROUNDS = 3, 25  # the least of three medians: noise passes, a regression stays


@dataclass(frozen=True)
class Case:
    """A shape (batch, seq, hidden), a dtype, a pass of `timing.PASSES`, and who runs beside ours.

    On the general path ours is torch's FFT and our epilogue: its rival is the formula.
    """

    shape: Shape
    dtype: torch.dtype = torch.float32
    direction: str = "forward"
    rival: str = "layer_norm(x + x)"

    def __str__(self) -> str:
        return f"{label(self.shape)} {str(self.dtype).removeprefix('torch.')} {self.direction}"


CASES = [
    Case((1, 128, 768)),
    Case((2, 128, 256)),
    Case((1, 256, 512)),
    Case((1, 512, 768)),  # FNet-Base
    Case((1, 512, 1024)),  # FNet-Large
    Case((1, 1024, 256)),
    Case((1, 2048, 192)),  # long and narrow
    Case((2, 105, 120)),  # factors 3, 5 and 7
    Case((8, 32, 64)),  # mostly overhead
    Case((1, 127, 96), rival="fftn"),  # a prime: the general path
    Case((1, 512, 768), torch.bfloat16),
    Case((1, 512, 768), direction="both"),
]


def settle() -> None:
    """One thread, and pages that malloc keeps: fresh ones come and go with a process's history."""
    torch.set_num_threads(1)
    pages("reused")


def calls(case: Case, isa: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Ours, held to `isa`, and its rival; ours is checked against float64."""
    problem = Problem.random(case.shape, case.dtype)
    mine = ours(isa)
    theirs = next(c for c in CONTESTANTS if c.name == case.rival)
    entries, _ = ready([theirs, mine], problem, backward=case.direction != "forward")
    wrap = problem.calls(case.direction)
    prepared(*entries[mine.name])()
    return wrap(entries[mine.name][1]), wrap(entries[theirs.name][1])


def least_ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The least, over `BLOCKS` parts of the rounds, of the median of our time over the rival's."""
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    size = len(ratios) // BLOCKS
    return min(statistics.median(ratios[i * size : (i + 1) * size]) for i in range(BLOCKS))


def twice_as_slow(call: Callable[[], Any]) -> Callable[[], Any]:
    """`call`, and as long again of waiting: the regression that must not pass."""

    def slow() -> Any:
        start = time.perf_counter()
        result = call()
        end = 2 * time.perf_counter() - start
        while time.perf_counter() < end:
            pass
        return result

    return slow


def recorded(isa: str, path: Path | None = None) -> dict[str, dict[str, Any]]:
    """{processor: {"ratios": {case: ratio}, ...}} of the machines that recorded `isa`."""
    path = path or REFERENCE
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()).get(isa, {})
    return found


def limit(case: Case, isa: str, path: Path | None = None) -> float | None:
    """The most that passes, from the geometric mean of all machines; None where none recorded."""
    known = [entry["ratios"] for entry in recorded(isa, path).values()]
    ratios = [ratios[str(case)] for ratios in known if str(case) in ratios]
    return SLACK * statistics.geometric_mean(ratios) if ratios else None


def record(found: dict[tuple[str, str], float], path: Path | None = None) -> None:
    """Write this machine's ratios, {(isa, case): ratio}, beside those of others."""
    path = path or REFERENCE
    content = json.loads(path.read_text()) if path.exists() else {}
    facts = machine.describe()
    about = {"torch": torch.__version__, "date": facts["date"]}
    for isa in dict.fromkeys(isa for isa, _ in found):
        ratios = {case: round(ratio, 3) for (of, case), ratio in found.items() if of == isa}
        content.setdefault(isa, {})[machine.slug()] = {**about, "ratios": ratios}
    path.write_text(json.dumps(content, indent=1) + "\n")
