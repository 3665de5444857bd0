"""`python -m bench lengths`: time per element at every sequence length, on this machine.

Ours against the fastest of torch's eager compositions and the formula, interleaved. Writes
<cpu>-lengths.json and a plot with the primes marked.

    python -m bench lengths                        # 1 to 1100: four to ten minutes
    python -m bench lengths --lengths 190:205 --hidden 768
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.arguments import INTERRUPTED, duration, positive, run_main
from bench.contestants.registry import CONTESTANTS, EAGER, best_of_ours
from bench.contestants.setting import or_absent
from bench.folders import add_out, is_writable
from bench.measure import machine
from bench.measure.pages import huge
from bench.measure.timing import MOST, Problem, needed, ready
from bench.report.lengths import length_tables, save_plot
from bench.report.tables import absence_lines
from bench.written import write_json
from fnet_kernels._terminal import Progress
from fnet_kernels._timing import interleave

_STEP = 50  # lengths per step of the progress
ELEMENTS = 1 << 19  # of x: it fits in most last-level caches


@dataclass(frozen=True)
class LengthRow:
    """Nanoseconds per element of x at one sequence length: medians, and quartiles of ours."""

    seq: int
    batch: int
    ours: float
    ours_quartiles: tuple[float, float]
    rival: str  # the fastest
    rival_time: float
    formula: float


def length_row(seq: int, hidden: int, seconds: float) -> LengthRow:
    """Time ours and the alternatives on x [batch, seq, hidden] with about `ELEMENTS` elements."""
    batch = max(1, ELEMENTS // (seq * hidden))
    own = best_of_ours("cpu")
    problem = Problem.random((batch, seq, hidden))
    entries, absent = ready([c for c in CONTESTANTS if c.name in (own, *EAGER)], problem)
    needed((own, "fftn"), absent)
    calls = {name: problem.forward(function) for name, (_, function) in entries.items()}
    times = interleave(calls, seconds=seconds, maximum=MOST)
    scale = 1e9 / problem.x.numel()
    rival = min((name for name in times if name != own), key=lambda name: times[name].median)
    low, median, high = (scale * t for t in times[own].quartiles)
    return LengthRow(
        seq,
        batch,
        median,
        (low, high),
        rival,
        scale * times[rival].median,
        scale * times["fftn"].median,
    )


def _span(text: str) -> range:
    first, _, last = text.partition(":")
    sizes = first.isdecimal() and last.isdecimal() and max(len(first), len(last)) < 10
    if not (sizes and 0 < int(first) <= int(last)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected first:last, such as 1:1100")
    return range(int(first), int(last) + 1)


def main(argv: list[str] | None = None) -> int:
    """Time every length, save and print. Returns 130 after Ctrl-C, 1 if nothing was timed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench lengths",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--lengths",
        type=_span,
        default=range(1, 1101),
        metavar="FIRST:LAST",
        help="sequence lengths, both ends included (default: 1:1100)",
    )
    parser.add_argument("--hidden", type=positive, default=256, help="default: %(default)s")
    parser.add_argument(
        "--seconds",
        type=duration,
        default=0.3,
        help=f"per length, in at most {MOST} rounds (default 0.3)",
    )
    add_out(parser)
    args = parser.parse_args(argv)
    if not is_writable(args.out, "bench lengths"):
        return 2

    facts = machine.describe("cpu") | {"huge_pages": huge()}
    began = time.monotonic()
    rows: list[LengthRow] = []
    absent: dict[str, str] = {}
    status = 0
    progress = Progress(-(-len(args.lengths) // _STEP))
    try:
        for index, seq in enumerate(args.lengths):
            if index % _STEP == 0:
                progress.step(f"lengths from {seq}")
            with or_absent(absent, f"length {seq}"):
                rows.append(length_row(seq, args.hidden, args.seconds))
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        progress.close()
    facts |= {"load_at_end": machine.load(), "wall_seconds": round(time.monotonic() - began)}

    written: Path = args.out / f"{machine.slug()}-lengths.json{'.interrupted' * bool(status)}"
    settings = {"hidden": args.hidden, "elements": ELEMENTS, "seconds": args.seconds}
    content: dict[str, Any] = {"machine": facts, "settings": settings, "absent": absent}
    content["rows"] = [asdict(row) for row in rows]
    write_json(written, content, indent=None)
    heading = f"{machine.title(facts)}; fp32, hidden {args.hidden}, fused with LayerNorm"
    plot = None if status else save_plot(rows, heading, written.with_suffix(".png"))
    print(f"{heading}\n\n{length_tables(rows)}\n\n{absence_lines(absent)}written: {written}")
    why = "interrupted" if status else "matplotlib is missing"
    print(f"written: {plot}" if plot else f"no plot: {why}")
    return status or int(not rows)


if __name__ == "__main__":
    run_main(main)
