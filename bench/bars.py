"""The bars of this project, measured: `python bench/bars.py` (README.md beside this file).

One process, interleaved rounds, medians and quartiles. Prints what it does while it works and a
table of bar, measured, pass or fail last; writes everything to results/<cpu>-bars.json.

The bars are for two cores. On a shared machine two threads may have to share one for a while: what
two threads do of pure arithmetic is measured before and after each comparison, which is put off or
taken again, for at most --patience seconds in all, until that is near twice what one does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fnet_kernels._bench import cores, machine, memory
from fnet_kernels._bench.contestants import CONTESTANTS, Contestant, isas, ours
from fnet_kernels._bench.pages import pages
from fnet_kernels._bench.shapes import BARS, BATCH_ONE, Shape, label
from fnet_kernels._bench.timing import Entries, Problem, Timing, ready, time_all
from fnet_kernels._table import table

ROLES = ("ours", "formula", "composition", "floor")  # what the bars speak of
FIELD = [c for c in CONTESTANTS if c.role in ROLES]
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Bar:
    """A promise: a ratio that must be at least, or at most, `limit`."""

    name: str
    limit: float
    at_least: bool

    def verdict(self, shape: str, isa: str, ratio: tuple[float, float, float]) -> dict[str, Any]:
        """The measured ratio (first quartile, median, third) held against the limit."""
        low, middle, high = ratio
        kept = middle >= self.limit if self.at_least else middle <= self.limit
        ends = {"measured": middle, "q1": low, "q3": high, "pass": kept}
        return {"bar": self.name, "shape": shape, "isa": isa, "limit": str(self), **ends}

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


FORMULA = Bar("forward fp32: formula / ours", 5.0, True)
TORCH = Bar("forward fp32: best torch / ours", 2.5, True)
FLOOR = Bar("forward fp32: ours / layer_norm(x + x)", 3.0, False)
STEP = Bar("forward + backward: formula / ours", 4.0, True)
BF16 = Bar("forward: ours bf16 / ours fp32", 1.3, False)
THREADS = Bar("batch 1: one thread / two threads", 1.6, True)
MEMORY = Bar("extra memory / x in fp32", 0.5, False)
PROMISES = [FORMULA, TORCH, FLOOR, STEP, BF16, MEMORY, THREADS]


class Report:
    """Collects times, verdicts and absences, and says each as it comes."""

    def __init__(self, patience: float = 0.0) -> None:
        self.times: dict[str, dict[str, Any]] = {}
        self.cores: dict[str, float] = {}
        self.verdicts: list[dict[str, Any]] = []
        self.absent: dict[str, str] = {}
        self.patience = patience

    def take(self, what: str, measure: Callable[[], dict[str, Timing]]) -> dict[str, Timing]:
        """Run one comparison on two cores, keep its times, in milliseconds, and print them."""
        times = self._on_two_cores(what, measure)
        rows = self.times[what] = {}
        for name, timing in times.items():
            low, middle, high = (1e3 * t for t in timing.quartiles)
            rows[name] = {"median_ms": middle, "q1_ms": low, "q3_ms": high}
            rows[name]["rounds"] = len(timing.seconds)
        cells = [
            [name, *(f"{row[k]:.2f}" for k in ("median_ms", "q1_ms", "q3_ms"))]
            for name, row in sorted(rows.items(), key=lambda item: item[1]["median_ms"])
        ]
        heading = f"\n{what}: {self.cores[what]:.2f} cores"
        print(f"{heading}\n{table(['', 'median ms', 'q1', 'q3'], cells)}", flush=True)
        return times

    def _on_two_cores(
        self, what: str, measure: Callable[[], dict[str, Timing]]
    ) -> dict[str, Timing]:
        while True:
            start = time.perf_counter()
            self.cores[what] = cores.given(2)
            if self.patience <= 0 or cores.enough(self.cores[what], 2):
                times = measure()
                self.cores[what] = min(self.cores[what], cores.given(2))
                if self.patience <= 0 or cores.enough(self.cores[what], 2):
                    return times
            print(f"{what}: only {self.cores[what]:.2f} cores, again", flush=True)
            time.sleep(2)
            self.patience -= time.perf_counter() - start


def held(wanted: list[str]) -> list[Contestant]:
    """Our op, once for each wanted instruction set."""
    return [ours(isa) for isa in wanted]


def forward(report: Report, shape: Shape, wanted: list[str], seconds: float, suffix: str) -> None:
    """Our forward against every contestant; the bars hold for malloc's default."""
    problem = Problem.random(shape)
    entries, absent = ready(FIELD, problem)
    report.absent |= absent
    what = f"forward fp32 {label(shape)}{suffix}"
    times = report.take(what, partial(time_all, entries, problem.forward, seconds))
    rivals = [n for n, (c, _) in entries.items() if c.role in ("formula", "composition")]
    best = min(rivals, key=lambda name: times[name].median)
    for isa in wanted:
        mine = times[f"ours {isa}"]
        where = label(shape) + suffix
        add = report.verdicts.append
        add(FORMULA.verdict(where, isa, times["fftn"].over(mine)))
        add(TORCH.verdict(where, isa, times[best].over(mine)) | {"against": best})
        add(FLOOR.verdict(where, isa, mine.over(times["layer_norm(x + x)"])))


def step(report: Report, shape: Shape, wanted: list[str], seconds: float) -> None:
    """Forward and backward against autograd through the eager torch forms."""
    eager = [c for c in FIELD if c.name in ("fftn", "rfft2 + mirror")]
    problem = Problem.random(shape)
    entries, _ = ready(held(wanted) + eager, problem, backward=True)
    what = f"forward + backward fp32 {label(shape)}"
    times = report.take(what, partial(time_all, entries, problem.step, seconds))
    for isa in wanted:
        ratio = times["fftn"].over(times[f"ours {isa}"])
        report.verdicts.append(STEP.verdict(label(shape), isa, ratio))


def bfloat16(report: Report, shape: Shape, wanted: list[str], seconds: float) -> None:
    """Our forward in bfloat16 against our forward in float32."""
    calls, before = {}, {}
    for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        problem = Problem.random(shape, dtype)
        for key, (contestant, function) in ready(held(wanted), problem)[0].items():
            calls[f"{key} {name}"] = (contestant, problem.forward(function))
            before[f"{key} {name}"] = contestant.before
    what = f"forward bf16 {label(shape)}"
    times = report.take(what, partial(time_all, calls, lambda call: call, seconds))
    for isa in wanted:
        ratio = times[f"ours {isa} bf16"].over(times[f"ours {isa} fp32"])
        report.verdicts.append(BF16.verdict(label(shape), isa, ratio))


def threads(report: Report, wanted: list[str], seconds: float) -> None:
    """One long sequence alone: the work inside it has to be shared."""
    problem = Problem.random(BATCH_ONE)
    present, _ = ready(held(wanted), problem)
    busy = torch.zeros(1 << 20)

    def hold(contestant: Contestant, count: int) -> None:
        assert contestant.before is not None
        contestant.before()
        torch.set_num_threads(count)
        busy.add_(1)  # the thread team is made here, not in the timed call

    entries: Entries = {}
    for name, (c, function) in present.items():
        for count in (1, 2):
            held_c = replace(c, before=partial(hold, c, count))
            entries[f"{name}, {count} thread{'s'[: count - 1]}"] = (held_c, function)
    what = f"forward fp32 {label(BATCH_ONE)}, one thread or two"
    times = report.take(what, partial(time_all, entries, problem.forward, seconds))
    torch.set_num_threads(2)
    for isa in wanted:
        ratio = times[f"ours {isa}, 1 thread"].over(times[f"ours {isa}, 2 threads"])
        report.verdicts.append(THREADS.verdict(label(BATCH_ONE), isa, ratio))


def peak_memory(report: Report, isa: str) -> dict[str, Any] | str:
    """Extra memory, from a process of its own (memory.py); the worst case of each shape counts."""
    found = memory.measure(torch.get_num_threads())
    if isinstance(found, str):
        report.absent["peak memory"] = found
        return found
    for shape, cases in found.items():
        mine = {case[5:]: ratio for case, ratio in cases.items() if case.startswith("ours ")}
        worst = max(mine, key=lambda case: mine[case])
        ratio = (mine[worst],) * 3
        report.verdicts.append(MEMORY.verdict(shape, isa, ratio) | {"against": worst})
    return found


def summary(report: Report, wanted: list[str]) -> str:
    """A row per bar and shape; per ISA what was measured, its quartiles, pass or FAIL."""
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for bar in PROMISES:
        for v in (v for v in report.verdicts if v["bar"] == bar.name):
            text = f"{v['measured']:.2f}"
            if v["q1"] != v["q3"]:
                text += f" ({v['q1']:.2f} to {v['q3']:.2f})"
            row = cells.setdefault((bar.name, v["shape"], v.get("against", ""), v["limit"]), {})
            row[v["isa"]] = f"{text} {'pass' if v['pass'] else 'FAIL'}"
    rows = [[*key, *(row.get(isa, "") for isa in wanted)] for key, row in cells.items()]
    return table(["bar", "shape", "against", "limit", *wanted], rows, left=3)


def main() -> int:
    """Run everything; exit status 1 with --strict when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="per comparison (default 4)")
    parser.add_argument("--patience", type=float, default=300.0, help="seconds (default 300)")
    parser.add_argument("--shapes", type=int, default=len(BARS), help="only the first so many")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    args = parser.parse_args()

    torch.set_num_threads(2)
    facts = machine.describe()
    print(json.dumps(facts, indent=2))
    if (facts["load_at_start"] or [0])[0] > 0.5:
        print("NOTE: this machine is busy; these figures are not worth keeping")
    wanted = [isa for isa in dict.fromkeys((isas()[0], "avx2")) if isa in isas()]
    report = Report(args.patience)
    shapes = BARS[: args.shapes]
    for shape in shapes:
        forward(report, shape, wanted, args.seconds, "")
        step(report, shape, wanted, args.seconds)
        bfloat16(report, shape, wanted, args.seconds / 2)
    threads(report, wanted, args.seconds)
    torch.ops.fnet_kernels.set_cpu_isa("auto")
    print("\npeak memory, in a process of its own", flush=True)
    memory_ratios = peak_memory(report, isas()[0])
    if pages("reused"):  # last: malloc keeps this setting
        for shape in shapes:
            forward(report, shape, wanted, args.seconds / 2, " (reused pages)")
    facts["load_at_end"] = machine.load()

    for name, reason in report.absent.items():
        print(f"absent: {name}: {reason}")
    print(f"\n{summary(report, wanted)}")
    for what, count in report.cores.items():
        if not cores.enough(count, 2):
            print(f"NOTE: {what} had {count:.2f} cores, not two")
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{machine.slug()}-bars.json"
    about = {c.name: {"role": c.role, "about": c.about} for c in FIELD}
    content = {"machine": facts, "contestants": about, "absent": report.absent}
    content |= {
        "times": report.times,
        "cores": report.cores,
        "memory": memory_ratios,
        "bars": report.verdicts,
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nwritten: {path}")
    return int(args.strict and not all(v["pass"] for v in report.verdicts))


if __name__ == "__main__":
    sys.exit(main())
