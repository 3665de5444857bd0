"""`python -m bench sweep`: random shapes, and those at which ours gains least.

Batch, seq and hidden are log-uniform. Prints the ten shapes with the smallest ratio of the best
composition's time to ours, and the quantiles of all. Random shapes are also saved, as
<cpu>-sweep-<dtype>-<pass>.json.

    python -m bench sweep --count 200 --seed 1
    python -m bench sweep --shapes 1x1x65536,100000x2x8
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bench.arguments import INTERRUPTED, duration, positive, run_main
from bench.command import DTYPES, shape_list
from bench.contestants.registry import CONTESTANTS, EAGER, best_of_ours
from bench.contestants.setting import Setting, or_absent
from bench.folders import add_out, is_writable
from bench.measure import machine
from bench.measure.pages import huge
from bench.measure.timing import MOST, Problem, time_all
from bench.report.tables import absence_lines
from bench.shapes import Shape, label
from bench.written import write_json
from fnet_kernels import explain
from fnet_kernels._terminal import Progress, table

FEWEST = 64  # elements of a sequence; below, a call is all overhead
COPIES = 4  # of x in rotation
WORST = 10
HEADS = ["batch x seq x hidden", "ours, ms", "best other", "which", "lanes"]
_SHARES = {"smallest": 0.0, "a tenth below": 0.1, "median": 0.5}


@dataclass(frozen=True)
class Found:
    """Seconds of ours and of the best composition at one shape: first quartiles."""

    shape: Shape
    lanes: str
    ours: float
    best: str
    other: float

    @property
    def ratio(self) -> float:
        """Above 1, ours is faster."""
        return self.other / self.ours


def random_shapes(count: int, limit: int, seed: int) -> Iterator[Shape]:
    """`count` shapes of at most `limit` elements, with at least `FEWEST` per sequence.

    The number of elements is log-uniform, and so is its split into batch, seq and hidden.

    >>> list(random_shapes(2, 4096, seed=0)) == list(random_shapes(2, 4096, seed=0))
    True
    """
    chance = random.Random(seed)
    while count > 0:
        total = chance.uniform(math.log(FEWEST), math.log(limit))
        low, high = sorted(chance.uniform(0, total) for _ in range(2))
        batch, seq, hidden = (round(math.exp(size)) for size in (low, high - low, total - high))
        if seq * hidden >= FEWEST and batch * seq * hidden <= limit:
            count -= 1
            yield batch, seq, hidden


def measure(shape: Shape, dtype: torch.dtype, direction: str, seconds: float) -> Found:
    """Time ours and the compositions, interleaved. Other benchmarks check the results."""
    mine = best_of_ours("cpu")
    problem = Problem.random(shape, dtype, copies=COPIES)
    setting = Setting(shape, dtype, backward=direction != "forward")
    contestants = [each for each in CONTESTANTS if each.name in (mine, *EAGER)]
    entries = {each.name: (each, each.build(setting)) for each in contestants}
    times = time_all(entries, problem.calls(direction), seconds, minimum=9)
    first = {name: timing.quartiles[0] for name, timing in times.items()}
    ours = first.pop(mine)
    best = min(first, key=first.__getitem__)
    explanation = explain(shape, dtype=dtype)
    return Found(shape, explanation.lanes or explanation.path, ours, best, first[best])


def cells(found: Found) -> list[str]:
    """The row of a table with `HEADS`."""
    times = f"{1e3 * found.ours:.3f}", f"{found.ratio:.2f}x"
    return [label(found.shape), *times, found.best, found.lanes]


def worst_first(found: Sequence[Found]) -> tuple[list[Found], dict[str, float]]:
    """The shapes by ratio, the smallest first, and quantiles of the ratios by name."""
    ordered = sorted(found, key=lambda each: each.ratio)
    at = {name: ordered[int(share * (len(found) - 1))].ratio for name, share in _SHARES.items()}
    return ordered, at


def report(found: list[Found]) -> str:
    """The worst shapes, and the quantiles of all ratios."""
    if not found:
        return "0 shapes"
    ordered, at = worst_first(found)
    rows = [cells(each) for each in ordered[:WORST]]
    quantiles = ", ".join(f"{name} {ratio:.2f}x" for name, ratio in at.items())
    return f"{table(HEADS, rows)}\n\n{len(found)} shapes: {quantiles}"


def _save(
    path: Path,
    facts: dict[str, Any],
    settings: dict[str, Any],
    absent: dict[str, str],
    found: list[Found],
) -> None:
    rows = [asdict(each) for each in found]
    content = {"machine": facts, "settings": settings, "absent": absent, "rows": rows}
    write_json(path, content, indent=None)


def main(argv: list[str] | None = None) -> int:
    """Print the report. Returns 130 after Ctrl-C, and 1 if nothing was timed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shapes", type=shape_list, metavar="BxNxD,...", help="instead of random")
    parser.add_argument("--count", type=positive, default=100, help="shapes (default %(default)s)")
    parser.add_argument(
        "--limit", type=positive, default=1 << 21, help="elements of x (default 2^21)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the shapes (default %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="default: %(default)s")
    parser.add_argument("--pass", dest="direction", choices=("forward", "both"), default="forward")
    parser.add_argument(
        "--seconds",
        type=duration,
        default=0.3,
        help=f"per shape, in at most {MOST} rounds (default 0.3)",
    )
    add_out(parser)
    args = parser.parse_args(argv)
    if args.limit < FEWEST:
        parser.error(f"--limit: expected at least {FEWEST}, got {args.limit}")
    if not is_writable(args.out, "bench sweep"):
        return 2

    shapes = args.shapes or list(random_shapes(args.count, args.limit, args.seed))
    facts = machine.describe("cpu") | {"huge_pages": huge()}
    progress = Progress(len(shapes))
    found: list[Found] = []
    absent: dict[str, str] = {}
    status = 0
    try:
        for shape in shapes:
            progress.step(label(shape))
            with or_absent(absent, label(shape)):
                found.append(measure(shape, DTYPES[args.dtype], args.direction, args.seconds))
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        progress.close()
    where = f"seed {args.seed}" if args.shapes is None else "given shapes"
    pages = "huge pages" if facts["huge_pages"] else "no huge pages"
    print(f"{machine.title(facts)}; {args.dtype}, {args.direction}, {where}, {pages}\n")
    print(f"{absence_lines(absent)}{report(found)}")
    if args.shapes is None and found:
        settings = {"dtype": args.dtype, "pass": args.direction, "seconds": args.seconds}
        settings |= {"seed": args.seed, "limit": args.limit}
        facts["load_at_end"] = machine.load()
        name = f"{machine.slug()}-sweep-{args.dtype}-{args.direction}.json"
        path = args.out / f"{name}{'.interrupted' * bool(status)}"
        _save(path, facts, settings, absent, found)
        print(f"written: {path}")
    return status or int(not found)


if __name__ == "__main__":
    run_main(main)
