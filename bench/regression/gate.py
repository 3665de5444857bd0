"""The gate: ours must keep its lead over the formula, both measured in the same run.

defines: SLACK, Case, CASES, REFERENCE, settle, calls, lead, required, held, record

Absolute times mean nothing on another or a busy machine; the ratio of two interleaved ones does.
One thread: with two, a neighbour on one core stretches every barrier, and the ratio with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fnet_kernels._bench import machine
from fnet_kernels._bench.contestants import CONTESTANTS, ours
from fnet_kernels._bench.pages import pages
from fnet_kernels._bench.shapes import Shape, label
from fnet_kernels._bench.timing import Problem, ready
from fnet_kernels._timing import interleave

REFERENCE = Path(__file__).parent / "reference.json"
SLACK = 0.62  # a lead may shrink to this part of the reference; twice as slow halves it
ATTEMPTS = 3  # a lead that is too small is measured again: noise passes, a regression stays


@dataclass(frozen=True)
class Case:
    """A shape (batch, seq, hidden), a dtype and a pass of `timing.PASSES`."""

    shape: Shape
    dtype: torch.dtype = torch.float32
    direction: str = "forward"

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
    Case((1, 127, 96)),  # a prime: the general path
    Case((1, 512, 768), torch.bfloat16),
    Case((1, 512, 768), direction="both"),
]


def settle() -> None:
    """One thread, and pages that malloc keeps: fresh ones come and go with a process's history."""
    torch.set_num_threads(1)
    pages("reused")


def calls(case: Case) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Ours, on the best instruction set, and the formula; both checked against float64."""
    problem = Problem.random(case.shape, case.dtype)
    mine = ours(torch.ops.fnet_kernels.cpu_isa())
    theirs = next(c for c in CONTESTANTS if c.name == "fftn")
    entries, _ = ready([mine, theirs], problem, backward=case.direction != "forward")
    wrap = problem.calls(case.direction)
    return wrap(entries[mine.name][1]), wrap(entries[theirs.name][1])


def lead(mine: Callable[[], Any], theirs: Callable[[], Any], seconds: float = 0.7) -> float:
    """The formula's time over ours: the median over interleaved rounds of both."""
    times = interleave({"ours": mine, "fftn": theirs}, seconds=seconds, least=15, most=300)
    return times["fftn"].over(times["ours"])[1]


def required(case: Case, isa: str) -> float | None:
    """The least lead that passes; None where no reference was recorded for `isa`."""
    reference = json.loads(REFERENCE.read_text()).get(isa)
    return None if reference is None else SLACK * float(reference["leads"][str(case)])


def held(
    first: float, limit: float, again: Callable[[], float], attempts: int = ATTEMPTS
) -> tuple[bool, list[float]]:
    """Whether a lead reaches `limit`, measured `again` while it does not; and all that was seen."""
    seen = [first]
    while seen[-1] < limit and len(seen) < attempts:
        seen.append(again())
    return seen[-1] >= limit, seen


def record() -> None:
    """Write the leads of every instruction set of this machine to `REFERENCE`."""
    content = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}
    settle()
    for isa in torch.ops.fnet_kernels.cpu_isas().split(","):
        torch.ops.fnet_kernels.set_cpu_isa(isa)
        leads = {}
        for case in CASES:
            mine, theirs = calls(case)
            leads[str(case)] = round(sorted(lead(mine, theirs) for _ in range(3))[1], 2)
            print(f"{isa} {case}: {leads[str(case)]}", flush=True)
        facts = machine.describe()
        about = {"processor": machine.slug(), "torch": torch.__version__, "date": facts["date"]}
        content[isa] = {**about, "leads": leads}
    torch.ops.fnet_kernels.set_cpu_isa("auto")
    REFERENCE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    record()
