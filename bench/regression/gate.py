"""The regression gate: ours against a baseline of similar speed, measured in the same run.

defines: RIVAL, SLACK, BLOCKS, settle, calls, min_ratio, twice_as_slow, limit, recorded, record

Absolute times vary between machines and with machine load; the ratio of two interleaved times
varies less. The baseline is eager layer_norm(x + x): it has the same memory traffic, uses torch's
vector code and no FFT library, so the ratio is similar on all CPUs. It is the baseline of pre-norm
and varlen too, which move as many bytes; their formulas check the results. We use one thread,
because load on one core would delay every barrier of two threads.

Where tensors do not fit in L2, the ratio also depends on the state of the host, for a reason that
we have not found. So a machine can have a record of each state.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.contestants.registry import CONTESTANTS
from bench.measure import machine
from bench.measure.pages import pages
from bench.measure.timing import Problem, Reference, prepared, ready
from bench.regression.cases import Case
from bench.written import write_json

RIVAL = "layer_norm(x + x)"
REFERENCE = Path(__file__).parent / "reference.json"
#: Allowed growth of a ratio: the geometric mean of no change and of half the speed.
SLACK = 2**0.5
BLOCKS, ROUNDS = 3, 25  # the minimum of three medians: noise passes, a regression stays


def settle() -> None:
    """Use one thread, and let malloc keep its pages to avoid page faults."""
    torch.set_num_threads(1)
    pages("reused")


def calls(case: Case, isa: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Calls of ours, pinned to `isa`, and of the baseline. Checks ours against float64."""
    problem = Problem.random(case.shape, case.dtype)
    mine, _ = case.block.contestants([isa])
    theirs = next(c for c in CONTESTANTS if c.name == RIVAL)
    backward = case.direction != "forward"
    entries, _ = ready([theirs, mine], problem, backward=backward)
    wrap = problem.calls(case.direction)
    prepared(*entries[mine.name])()
    expected = Reference(problem, case.block.formula, backward=backward)
    expected.check(mine, expected.result(entries[mine.name][1]))
    return wrap(entries[mine.name][1]), wrap(entries[theirs.name][1])


def min_ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The minimum over `BLOCKS` blocks of rounds of the median ratio of ours to the baseline's."""
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    size = len(ratios) // BLOCKS
    return min(statistics.median(ratios[i * size : (i + 1) * size]) for i in range(BLOCKS))


def twice_as_slow(call: Callable[[], Any]) -> Callable[[], Any]:
    """Return `call` slowed to half its speed: the regression that the gate must catch."""

    def slow() -> Any:
        start = time.perf_counter()
        result = call()
        end = 2 * time.perf_counter() - start
        while time.perf_counter() < end:
            pass
        return result

    return slow


def recorded(isa: str, path: Path | None = None) -> dict[str, dict[str, Any]]:
    """{processor and state: {"ratios": {case: ratio}, ...}} of all records for `isa`."""
    path = path or REFERENCE
    found: dict[str, dict[str, Any]] = json.loads(path.read_text()).get(isa, {})
    return found


def limit(case: Case, isa: str, path: Path | None = None) -> float | None:
    """The maximum ratio that passes; None without a record.

    The geometric mean of the extremes, times `SLACK`, lies between the highest ratio and twice the
    lowest one, with the same distance to both.
    """
    known = [entry["ratios"] for entry in recorded(isa, path).values()]
    ratios = [ratios[str(case)] for ratios in known if str(case) in ratios]
    return SLACK * (min(ratios) * max(ratios)) ** 0.5 if ratios else None


def record(found: dict[tuple[str, str], float], state: str, path: Path | None = None) -> None:
    """Add ratios, {(isa, case): ratio}, to the record of this machine in a state, "" for any."""
    path = path or REFERENCE
    content = json.loads(path.read_text()) if path.exists() else {}
    facts = machine.describe()
    about = {"torch": torch.__version__, "date": facts["date"]}
    name = f"{machine.slug()}, {state}" if state else machine.slug()
    for isa in dict.fromkeys(isa for isa, _ in found):
        ratios = {case: round(ratio, 3) for (of, case), ratio in found.items() if of == isa}
        machines = content.setdefault(isa, {})
        before = machines.get(name, {}).get("ratios", {})
        machines[name] = {**about, "ratios": before | ratios}
    write_json(path, content)
