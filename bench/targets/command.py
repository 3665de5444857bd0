"""Measure the CPU targets of this project: `python -m bench.targets` (see docs/benchmarks.md).

Runs in one process, in interleaved rounds, and takes medians and quartiles. Every call uses another
copy of x. Prints its progress, then a table of targets, measured ratios and whether they are met.
Writes everything to <cpu>-targets.json in build/bench, or with --keep in bench/results.

The targets apply to two cores that share a last-level cache. On a shared machine two threads may
get one core, or cores on different chiplets. Before and after each comparison we measure the
arithmetic throughput of two threads and the core-to-core latency. The comparison waits or repeats
until both are good, for at most --patience seconds in total.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from bench.arguments import duration, positive, run_main
from bench.contestants.blocks import BLOCKS, PRE_NORM
from bench.contestants.registry import CONTESTANTS, Contestant, isas, ours, pin
from bench.contestants.setting import Setting
from bench.contestants.streaming import STREAMING
from bench.folders import add_out, is_writable
from bench.measure import machine, memory
from bench.measure.pages import huge, pages
from bench.measure.thread_team import use_threads
from bench.measure.timing import MOST, Entries, Problem, ready, time_all
from bench.shapes import (
    BATCH_ONE,
    CACHED_SHAPES,
    PRIME_SHAPES,
    TARGET_SHAPES,
    VARLEN,
    Shape,
    label,
)
from bench.targets.report import TargetReport
from bench.targets.target import Target
from bench.targets.values import (
    BACKWARD,
    BF16,
    BF16_CACHED,
    BLOCK,
    BLOCK_STEP,
    FLOOR,
    FORMULA,
    MEMORY,
    PRIME_FORMULA,
    PRIME_NEIGHBOUR,
    PRIME_STEP,
    PRIME_TORCH,
    STEP,
    TARGETS,
    THREADS,
    TORCH,
    VARLEN_EQUAL,
    VARLEN_PADDED,
)
from bench.varlen import PACKED, PADDED, SAME, call, check, equal_tokens_factor, mixes
from fnet_kernels._timing import Timing

ROLES = ("ours", "formula", "composition", "floor")  # the targets compare only these
FIELD = [*(c for c in CONTESTANTS if c.role in ROLES), STREAMING]


@dataclass(frozen=True)
class Budget:
    """How long one comparison takes: at least `seconds`, and at least `rounds` rounds."""

    seconds: float
    rounds: int

    def time(self, entries: Entries, wrap: Any, absent: dict[str, str]) -> dict[str, Timing]:
        """Interleaved times. A contestant that fails is added to `absent`."""
        return time_all(entries, wrap, self.seconds, minimum=self.rounds, absent=absent)


def pinned(isas: list[str]) -> list[Contestant]:
    """Our operator, pinned to each of the instruction sets."""
    return [ours(isa) for isa in isas]


def check_best_torch(
    report: TargetReport, target: Target, times: dict[str, Timing], where: str
) -> None:
    """Check ours against the faster of the formula and the compositions of torch operations."""
    roles = {c.name: c.role for c in FIELD}
    if rivals := [n for n in times if roles.get(n) in ("formula", "composition")]:
        best = min(rivals, key=lambda name: times[name].median)
        report.check_speedup(target, times, best, where, against=best)


def forward(report: TargetReport, shape: Shape, budget: Budget, suffix: str = "") -> None:
    """Compare our forward pass with every contestant and check three targets."""
    problem = Problem.cold(Setting(shape))
    entries, absent = ready(FIELD, problem)
    what, where = f"forward fp32 {label(shape)}{suffix}", label(shape) + suffix
    times = report.take(what, partial(budget.time, entries, problem.forward, absent))
    report.absent |= absent
    report.check_speedup(FORMULA, times, "fftn", where)
    check_best_torch(report, TORCH, times, where)
    floor = times.get("layer_norm(x + x)")
    for isa in report.isas:
        if floor and f"ours {isa}" in times:
            report.check(FLOOR, isa, where, times[f"ours {isa}"].over(floor))


def gradients(
    report: TargetReport, shape: Shape, budget: Budget, target: Target, direction: str
) -> None:
    """Compare the backward pass, alone or after forward, with autograd through eager torch.

    The copy moves one x: its bound is that of one read and one write.
    """
    names = ("fftn", "rfft2 + mirror", "layer_norm(x + x)", "copy", "streaming copy")
    problem = Problem.cold(Setting(shape))
    rivals = [c for c in FIELD if c.name in names]
    entries, absent = ready(pinned(list(report.isas)) + rivals, problem, backward=True)
    what = f"{target.name.partition(':')[0]} fp32 {label(shape)}"
    wrap = problem.calls(direction)
    times = report.take(what, partial(budget.time, entries, wrap, absent))
    report.absent |= absent
    report.check_speedup(target, times, "fftn", label(shape))


def prime(report: TargetReport, shape: Shape, budget: Budget) -> None:
    """Compare our forward pass at a prime length with every contestant and with ours at seq - 1."""
    batch, seq, hidden = shape
    problem, neighbour = (Problem.cold(Setting((batch, n, hidden))) for n in (seq, seq - 1))
    entries, absent = ready(FIELD, problem)
    beside, _ = ready(pinned(list(report.isas)), neighbour)
    calls: dict[str, Any] = {n: (c, problem.forward(f)) for n, (c, f) in entries.items()}
    calls |= {f"{n}, seq - 1": (c, neighbour.forward(f)) for n, (c, f) in beside.items()}
    what, where = f"forward fp32 {label(shape)}", label(shape)
    times = report.take(what, partial(budget.time, calls, lambda call: call, absent))
    report.absent |= absent
    report.check_speedup(PRIME_FORMULA, times, "fftn", where)
    check_best_torch(report, PRIME_TORCH, times, where)
    for isa in report.isas:
        mine, other = times.get(f"ours {isa}"), times.get(f"ours {isa}, seq - 1")
        if mine and other:
            low, middle, high = (ratio * (seq - 1) / seq for ratio in mine.over(other))
            report.check(PRIME_NEIGHBOUR, isa, where, (low, middle, high))


def blocks(report: TargetReport, shape: Shape, budget: Budget) -> None:
    """Compare each of the other blocks with its formula, and the step of pre-norm."""
    problem = Problem.cold(Setting(shape))
    for block, target, direction in (
        *((block, BLOCK, "forward") for block in BLOCKS),
        (PRE_NORM, BLOCK_STEP, "both"),
    ):
        field = block.contestants(list(report.isas))
        entries, absent = ready(field, problem, backward=direction == "both")
        what = f"{block.name}, {direction}, fp32 {label(shape)}"
        wrap = problem.calls(direction)
        times = report.take(what, partial(budget.time, entries, wrap, absent))
        report.absent |= absent
        report.check_speedup(target, times, "formula", label(shape), against=block.name)


def bfloat16(
    report: TargetReport, shape: Shape, budget: Budget, target: Target = BF16, cold: bool = True
) -> None:
    """Compare our forward pass in bfloat16 with that in float32."""
    calls: dict[str, Any] = {}
    for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        problem = Problem.cold(Setting(shape, dtype)) if cold else Problem.random(shape, dtype)
        present, absent = ready(pinned(list(report.isas)), problem)
        report.absent |= absent
        for key, (contestant, function) in present.items():
            calls[f"{key} {name}"] = (contestant, problem.forward(function))
    what = f"forward bf16 {label(shape)}"
    times = report.take(what, partial(budget.time, calls, lambda call: call, report.absent))
    for isa in report.isas:
        bf16, fp32 = times.get(f"ours {isa} bf16"), times.get(f"ours {isa} fp32")
        if bf16 and fp32:
            report.check(target, isa, label(shape), bf16.over(fp32))


def threads(report: TargetReport, budget: Budget) -> None:
    """Time one long sequence, which two threads can only share by dividing it."""
    problem = Problem.cold(Setting(BATCH_ONE))
    present, absent = ready(pinned(list(report.isas)), problem)
    report.absent |= absent

    def prepare(contestant: Contestant, count: int) -> None:
        assert contestant.before is not None
        contestant.before()
        use_threads(count)

    entries: Entries = {}
    for name, (c, function) in present.items():
        for count in (1, 2):
            limited = replace(c, before=partial(prepare, c, count))
            entries[f"{name}, {count} thread{'s'[: count - 1]}"] = (limited, function)
    what = f"forward fp32 {label(BATCH_ONE)}, one thread or two"
    times = report.take(what, partial(budget.time, entries, problem.forward, report.absent))
    torch.set_num_threads(2)
    for isa in report.isas:
        one, two = times.get(f"ours {isa}, 1 thread"), times.get(f"ours {isa}, 2 threads")
        if one and two:
            report.check(THREADS, isa, label(BATCH_ONE), one.over(two))


def varlen(report: TargetReport, lengths: list[int], budget: Budget) -> None:
    """Compare packed sequences with as many tokens in equal ones, and with padding."""
    ways = mixes(lengths)
    calls: dict[str, Any] = {}
    for isa in report.isas:
        pin(isa)
        for name in (PACKED, SAME, PADDED):
            check(name, lengths)
            calls[f"ours {isa}, {name}"] = (ours(isa), call(*ways[name]))
    what, where = f"forward fp32, {len(lengths)} lengths", f"{len(lengths)}x16..512x768"
    times = report.take(what, partial(budget.time, calls, lambda call: call, report.absent))
    for isa in report.isas:
        packed, same, padded = (times.get(f"ours {isa}, {n}") for n in (PACKED, SAME, PADDED))
        if packed and same and padded:
            low, middle, high = (r / equal_tokens_factor(lengths) for r in packed.over(same))
            report.check(VARLEN_EQUAL, isa, where, (low, middle, high))
            report.check(VARLEN_PADDED, isa, where, packed.over(padded))


def peak_memory(report: TargetReport, isa: str) -> dict[str, Any] | str:
    """Measure extra memory in a child process (memory.py) and check the worst case per shape."""
    found = memory.measure(torch.get_num_threads())
    if isinstance(found, str):
        report.absent["peak memory"] = found
        return found
    for shape, cases in found.items():
        mine = {case[5:]: ratio for case, ratio in cases.items() if case.startswith("ours ")}
        worst = max(mine, key=lambda case: mine[case])
        about = {"shape": shape, "isa": isa, "against": worst}
        report.results.append(MEMORY.check((mine[worst],) * 3, **about))
    return found


def main() -> int:
    """Measure everything. Returns 1 with --strict if a target is missed or was not measured."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m bench.targets", description=__doc__)
    parser.add_argument(
        "--seconds",
        type=duration,
        default=2.0,
        help=f"minimum time per comparison, in at most {MOST} rounds or --rounds (default 2)",
    )
    parser.add_argument(
        "--rounds", type=positive, default=7, help="minimum number of rounds (default 7)"
    )
    parser.add_argument(
        "--patience", type=duration, default=40.0, help="seconds to wait for two cores (default 40)"
    )
    parser.add_argument(
        "--first",
        type=positive,
        default=len(TARGET_SHAPES),
        metavar="N",
        help="time the first N shapes; default: all",
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 if a target is missed")
    add_out(parser)
    args = parser.parse_args()
    if not is_writable(args.out, "bench.targets"):
        return 2

    huge_pages = huge()  # before the first tensor
    torch.set_num_threads(2)
    facts = machine.describe() | {"huge_pages": huge_pages}
    print(json.dumps(facts, indent=2))
    if machine.is_busy(facts):
        print("NOTE: other programs are running: do not keep these figures")
    wanted = [isa for isa in dict.fromkeys((isas()[0], "avx2")) if isa in isas()]
    report = TargetReport(TARGETS, wanted, args.patience)
    budget, half = (Budget(seconds, args.rounds) for seconds in (args.seconds, args.seconds / 2))
    shapes = TARGET_SHAPES[: args.first]
    for shape in shapes:
        forward(report, shape, budget)
        gradients(report, shape, budget, BACKWARD, "backward")
        gradients(report, shape, budget, STEP, "both")
        bfloat16(report, shape, half)
        blocks(report, shape, half)
    for shape in CACHED_SHAPES[: args.first]:
        bfloat16(report, shape, half, BF16_CACHED, cold=False)
    for shape in PRIME_SHAPES[: args.first]:
        prime(report, shape, half)
        gradients(report, shape, half, PRIME_STEP, "both")
    threads(report, budget)
    varlen(report, VARLEN, budget)
    torch.ops.fnet_kernels.set_cpu_isa("auto")
    print("\npeak memory, in a child process", flush=True)
    memory_ratios = peak_memory(report, isas()[0])
    if pages("reused"):  # last, because malloc keeps this setting
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
            print(f"NOTE: not on two cores that share a cache: {what}, {report.ran_on(what)}")
    path = args.out / f"{machine.slug()}-targets.json"
    about = {c.name: {"role": c.role, "about": c.about} for c in FIELD}
    report.write(path, machine=facts, contestants=about, memory=memory_ratios)
    print(f"\nwritten: {path}, after {facts['wall_seconds']} s")
    return int(args.strict and not report.all_met)


if __name__ == "__main__":
    run_main(main)
