"""`python -m bench threads`: how our calls and torch's speed up on real threads.

For each shape and pass, in float32 with LayerNorm: milliseconds, the speed-up over one thread, and
torch's time over ours at the same number of threads. Torch computes `rfft2` and mirrors its half.
All numbers of threads take turns, so that a change of load slows all of them.

    python -m bench threads --threads 1,8,16 --shapes 8x512x768

Prints a table per pass and writes <cpu>-threads.json.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from bench.arguments import duration, run_main
from bench.command import shape_list
from bench.contestants.registry import CONTESTANTS, best_of_ours
from bench.contestants.setting import Setting, or_absent
from bench.cores import SHAPES, counts
from bench.folders import add_out, is_writable
from bench.measure import machine
from bench.measure.pages import huge
from bench.measure.thread_team import use_threads
from bench.measure.timing import DIRECTIONS, Problem, needed, ready
from bench.report.tables import absence_lines
from bench.shapes import Shape, label
from fnet_kernels._terminal import table
from fnet_kernels._timing import interleave

OURS, TORCH = best_of_ours("cpu"), "rfft2 + mirror"
PASSES = ("forward", "both")
_MOST = 40  # rounds


def powers_of_two(limit: int) -> list[int]:
    """1, 2, 4, ... and `limit`.

    >>> powers_of_two(12)
    [1, 2, 4, 8, 12]
    """
    return [1 << i for i in range(limit.bit_length()) if 1 << i < limit] + [limit]


def measured(
    shapes: Sequence[Shape], threads: Sequence[int], seconds: float, absent: dict[str, str]
) -> list[dict[str, Any]]:
    """One row per shape, pass, contestant and number of threads.

    `absent` receives the shapes and passes that do not run, with the reasons.
    """
    before = torch.get_num_threads()
    rows: list[dict[str, Any]] = []
    for shape in shapes:
        for direction in PASSES:
            with or_absent(absent, f"{label(shape)}, {direction}"):
                rows += compared(shape, direction, threads, seconds)
    torch.set_num_threads(before)
    return rows


def compared(
    shape: Shape, direction: str, threads: Sequence[int], seconds: float
) -> list[dict[str, Any]]:
    """One row per contestant and number of threads."""
    setting = Setting(shape, torch.float32, "cpu", direction != "forward")
    problem = Problem.cold(setting)
    chosen = [c for c in CONTESTANTS if c.name in (OURS, TORCH)]
    entries, absent = ready(chosen, problem, backward=setting.backward)
    needed((OURS, TORCH), absent)
    calls: dict[tuple[str, int], Callable[[], Any]] = {}
    for name, (_, function) in entries.items():
        call = problem.calls(direction)(function)
        calls |= dict.fromkeys([(name, count) for count in threads], call)
    named = {f"{name} {count}": call for (name, count), call in calls.items()}
    before = {f"{name} {count}": partial(use_threads, count) for name, count in calls}
    times = interleave(named, before=before, seconds=seconds, minimum=5, maximum=_MOST)
    rows = []
    for (name, count), timing in zip(calls, times.values(), strict=True):
        low, middle, high = (1e3 * t for t in timing.quartiles)
        row: dict[str, Any] = {"shape": label(shape), "pass": direction}
        row |= {"contestant": name, "threads": count}
        row |= {"q1_ms": low, "median_ms": middle, "q3_ms": high}
        rows.append(row | {"speedup": times[f"{name} {threads[0]}"].over(timing)[1]})
    return rows


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """A table per pass: milliseconds, speed-ups and torch's time over ours, by threads."""
    parts = []
    threads = list(dict.fromkeys(row["threads"] for row in rows))
    for direction in dict.fromkeys(row["pass"] for row in rows):
        body = []
        ran = [row for row in rows if row["pass"] == direction]
        for shape in dict.fromkeys(row["shape"] for row in ran):
            of = [row for row in ran if row["shape"] == shape]
            ours = [r for r in of if r["contestant"] == OURS]
            other = [r for r in of if r["contestant"] == TORCH]
            pairs = list(zip(ours, other, strict=True))
            body.append([shape, "ours, ms", *(f"{r['median_ms']:.2f}" for r in ours)])
            body.append(["", "ours, speed-up", *(f"{r['speedup']:.1f}" for r in ours)])
            body.append(["", "torch, speed-up", *(f"{r['speedup']:.1f}" for r in other)])
            ratios = [b["median_ms"] / a["median_ms"] for a, b in pairs]
            body.append(["", "torch / ours", *(f"{ratio:.1f}" for ratio in ratios)])
        parts.append(table([f"{DIRECTIONS[direction]}, threads", "", *map(str, threads)], body))
    return "\n\n".join(parts)


def main(argv: list[str] | None = None) -> int:
    """Measure, save and print. Returns 1 if nothing was timed."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(
        prog="python -m bench threads",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shapes", type=shape_list, default=SHAPES, metavar="BxNxD,...")
    parser.add_argument(
        "--threads",
        type=counts,
        default=powers_of_two(len(os.sched_getaffinity(0))),
        metavar="T,...",
        help="the first is the base of the speed-ups; default: powers of two up to all cores",
    )
    parser.add_argument(
        "--seconds",
        type=duration,
        default=2.0,
        help=f"for each shape and pass, in at most {_MOST} rounds; default: %(default)s",
    )
    add_out(parser)
    args = parser.parse_args(argv)
    if not is_writable(args.out, "bench threads"):
        return 2
    facts = machine.describe() | {"huge_pages": huge()}
    absent: dict[str, str] = {}
    rows = measured(args.shapes, args.threads, args.seconds, absent)
    written = machine.save(args.out, "threads", facts, start, absent=absent, rows=rows)
    print(f"{machine.title(facts)}; fp32\n\n{tables(rows)}\n\n{absence_lines(absent)}{written}")
    return int(not rows)


if __name__ == "__main__":
    run_main(main)
