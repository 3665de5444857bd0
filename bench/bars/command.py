"""The bars of this project, measured: `python -m bench.bars` (see bench/README.md).

One process, interleaved rounds, medians and quartiles, every call on another copy of x. Prints what
it does while it works and a table of bar, measured, pass or fail last; writes everything to
<cpu>-bars.json in build/bench, or with --keep in bench/results.

The bars are for two cores with a cache in common. On a shared machine two threads may have to share
one core for a while, or be on chiplets apart: what two threads do of pure arithmetic, and how long
a value takes to the other core and back, is measured before and after each comparison, which is put
off or taken again, for at most --patience seconds in all, until it has had two such cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from bench.bars.bar import Bar
from bench.bars.promises import (
    BACKWARD,
    BF16,
    FLOOR,
    FORMULA,
    MEMORY,
    PROMISES,
    STEP,
    THREADS,
    TORCH,
)
from bench.bars.report import Report
from bench.contestants.registry import CONTESTANTS, Contestant, isas, ours
from bench.contestants.setting import Setting
from bench.contestants.streaming import STREAMING
from bench.folders import add_out
from bench.measure import machine, memory
from bench.measure.pages import huge, pages
from bench.measure.timing import Entries, Problem, ready, time_all
from bench.shapes import BARS, BATCH_ONE, Shape, label
from fnet_kernels._timing import Timing

ROLES = ("ours", "formula", "composition", "floor")  # what the bars speak of
FIELD = [*(c for c in CONTESTANTS if c.role in ROLES), STREAMING]


@dataclass(frozen=True)
class Effort:
    """How long a comparison goes on: at least so many seconds, and so many rounds."""

    seconds: float
    rounds: int

    def time(self, entries: Entries, wrap: Any, absent: dict[str, str]) -> dict[str, Timing]:
        """Interleaved times; who fails is absent."""
        return time_all(entries, wrap, self.seconds, least=self.rounds, absent=absent)


def held(wanted: list[str]) -> list[Contestant]:
    """Our op, once for each wanted instruction set."""
    return [ours(isa) for isa in wanted]


def forward(report: Report, shape: Shape, effort: Effort, suffix: str = "") -> None:
    """Our forward against every contestant; the bars hold for malloc's default."""
    problem = Problem.cold(Setting(shape))
    entries, absent = ready(FIELD, problem)
    what, where = f"forward fp32 {label(shape)}{suffix}", label(shape) + suffix
    times = report.take(what, partial(effort.time, entries, problem.forward, absent))
    report.absent |= absent
    report.faster(FORMULA, times, "fftn", where)
    rivals = [n for n, (c, _) in entries.items() if c.role in ("formula", "composition")]
    if rivals := [name for name in rivals if name in times]:
        best = min(rivals, key=lambda name: times[name].median)
        report.faster(TORCH, times, best, where, against=best)
    floor = times.get("layer_norm(x + x)")
    for isa in report.isas:
        if floor and f"ours {isa}" in times:
            report.most(FLOOR, isa, where, times[f"ours {isa}"].over(floor))


def gradients(report: Report, shape: Shape, effort: Effort, bar: Bar, direction: str) -> None:
    """The backward pass alone, or after the forward, against autograd through torch's eager forms.

    The copy beside them is one of x: its room is that of one read and one write.
    """
    names = ("fftn", "rfft2 + mirror", "layer_norm(x + x)", "copy", "streaming copy")
    problem = Problem.cold(Setting(shape))
    rivals = [c for c in FIELD if c.name in names]
    entries, absent = ready(held(list(report.isas)) + rivals, problem, backward=True)
    what = f"{bar.name.partition(':')[0]} fp32 {label(shape)}"
    wrap = problem.calls(direction)
    times = report.take(what, partial(effort.time, entries, wrap, absent))
    report.absent |= absent
    report.faster(bar, times, "fftn", label(shape))


def bfloat16(report: Report, shape: Shape, effort: Effort) -> None:
    """Our forward in bfloat16 against our forward in float32."""
    calls: dict[str, Any] = {}
    for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        problem = Problem.cold(Setting(shape, dtype))
        present, absent = ready(held(list(report.isas)), problem)
        report.absent |= absent
        for key, (contestant, function) in present.items():
            calls[f"{key} {name}"] = (contestant, problem.forward(function))
    what = f"forward bf16 {label(shape)}"
    times = report.take(what, partial(effort.time, calls, lambda call: call, report.absent))
    for isa in report.isas:
        narrow, wide = times.get(f"ours {isa} bf16"), times.get(f"ours {isa} fp32")
        if narrow and wide:
            report.most(BF16, isa, label(shape), narrow.over(wide))


def threads(report: Report, effort: Effort) -> None:
    """One long sequence alone: the work inside it has to be shared."""
    problem = Problem.cold(Setting(BATCH_ONE))
    present, absent = ready(held(list(report.isas)), problem)
    report.absent |= absent
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
    times = report.take(what, partial(effort.time, entries, problem.forward, report.absent))
    torch.set_num_threads(2)
    for isa in report.isas:
        one, two = times.get(f"ours {isa}, 1 thread"), times.get(f"ours {isa}, 2 threads")
        if one and two:
            report.most(THREADS, isa, label(BATCH_ONE), one.over(two))


def peak_memory(report: Report, isa: str) -> dict[str, Any] | str:
    """Extra memory, from a process of its own (memory.py); the worst case of each shape counts."""
    found = memory.measure(torch.get_num_threads())
    if isinstance(found, str):
        report.absent["peak memory"] = found
        return found
    for shape, cases in found.items():
        mine = {case[5:]: ratio for case, ratio in cases.items() if case.startswith("ours ")}
        worst = max(mine, key=lambda case: mine[case])
        about = {"shape": shape, "isa": isa, "against": worst}
        report.verdicts.append(MEMORY.verdict((mine[worst],) * 3, **about))
    return found


def main() -> int:
    """Run everything; exit status 1 with --strict when a bar is missed or was not measured."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m bench.bars", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="per comparison (default 2)")
    parser.add_argument("--rounds", type=int, default=7, help="at least so many (default 7)")
    parser.add_argument("--patience", type=float, default=40.0, help="seconds (default 40)")
    parser.add_argument("--shapes", type=int, default=len(BARS), help="only the first so many")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    add_out(parser)
    args = parser.parse_args()

    huge_pages = huge()  # before the first tensor
    torch.set_num_threads(2)
    facts = machine.describe() | {"huge_pages": huge_pages}
    print(json.dumps(facts, indent=2))
    if (facts["load_at_start"] or [0])[0] > 0.5:
        print("NOTE: this machine is busy; these figures are not worth keeping")
    wanted = [isa for isa in dict.fromkeys((isas()[0], "avx2")) if isa in isas()]
    report = Report(PROMISES, wanted, args.patience)
    effort, half = (Effort(seconds, args.rounds) for seconds in (args.seconds, args.seconds / 2))
    shapes = BARS[: args.shapes]
    for shape in shapes:
        forward(report, shape, effort)
        gradients(report, shape, effort, BACKWARD, "backward")
        gradients(report, shape, effort, STEP, "both")
        bfloat16(report, shape, half)
    threads(report, effort)
    torch.ops.fnet_kernels.set_cpu_isa("auto")
    print("\npeak memory, in a process of its own", flush=True)
    memory_ratios = peak_memory(report, isas()[0])
    if pages("reused"):  # last: malloc keeps this setting
        for shape in shapes:
            forward(report, shape, half, " (reused pages)")
    else:
        report.absent["reused pages"] = "this C library has no mallopt"
    facts |= {"load_at_end": machine.load(), "wall_seconds": round(time.monotonic() - start)}

    for name, reason in report.absent.items():
        print(f"absent: {name}: {reason}")
    print(f"\n{report.summary()}")
    for what in report.cores:
        if not report.undisturbed(what):
            print(f"NOTE: not two cores with a cache in common: {what}, {report.on(what)}")
    path = args.out / f"{machine.slug()}-bars.json"
    about = {c.name: {"role": c.role, "about": c.about} for c in FIELD}
    report.write(path, machine=facts, contestants=about, memory=memory_ratios)
    print(f"\nwritten: {path}, after {facts['wall_seconds']} s")
    return int(args.strict and not report.kept)


if __name__ == "__main__":
    sys.exit(main())
