"""Time each CPU kernel alone: `python -m bench.passes`. Needs fnet_core_bench (`make core`).

For each kernel, shape, dtype and instruction set, on one thread, cold and warm: the time of one
sequence, the bytes it must read and write, and GB/s. Two copies of the same number of bytes run in
the same rounds: one through the caches, and one with non-temporal stores, which bounds kernels that
use them. Prints a table and writes <cpu>-passes.json.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from typing import Any

from bench.arguments import positive, run_main
from bench.folders import add_out, is_writable
from bench.measure import machine
from bench.report.tables import absence_lines
from bench.shapes import TARGET_SHAPES, Shape, label
from fnet_kernels._terminal import table
from fnet_kernels._timing import Timing

KERNELS = ("seq_fft", "row_fft", "norm_grad")
ISAS = ("avx512", "avx2", "neon_bf16", "neon", "portable")
COLD = 128 << 20  # bytes of x in rotation


def measure(module: Any, shape: Shape, rounds: int, dtype: str, warm: bool) -> list[dict[str, Any]]:
    """One row per kernel."""
    _, seq, hidden = shape
    size = 4 if dtype == "float32" else 2
    batch = max(4, COLD // (size * seq * hidden))
    found = module.passes(batch, seq, hidden, rounds, dtype == "bfloat16", warm)
    rows = []
    for kernel in KERNELS:
        moved, times = found[kernel]
        low, middle, high = Timing(tuple(times)).quartiles
        row = {"kernel": kernel, "seq": seq, "hidden": hidden, "dtype": dtype}
        row |= {"caches": "warm" if warm else "cold"}
        row |= {"q1_us": 1e6 * low, "median_us": 1e6 * middle, "q3_us": 1e6 * high}
        row |= {"bytes": moved, "gb_per_s": moved / middle / 1e9}
        for kind in ("copy", "stream"):
            copied, copies = found.get(f"{kind} as {kernel}", (0, [1.0]))
            speed = copied / Timing(tuple(copies)).median / 1e9
            row[f"{kind}_gb_per_s"] = speed if copied else None
        rows.append(row)
    return rows


def cells(row: dict[str, Any]) -> list[str]:
    """The cells of one table row."""
    what = f"{row['kernel']} {row['seq']}x{row['hidden']} {row['dtype']} {row['isa']}"
    times = [f"{row[key]:.0f}" for key in ("median_us", "q1_us", "q3_us")]
    speeds = [row[key] for key in ("gb_per_s", "copy_gb_per_s", "stream_gb_per_s")]
    shown = ["absent" if speed is None else f"{speed:.1f}" for speed in speeds]
    return [f"{what}, {row['caches']}", *times, f"{row['bytes'] / 1e6:.1f}", *shown]


def main(argv: list[str] | None = None) -> int:
    """Measure everything. Returns 2 if fnet_core_bench is not built."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(
        prog="python -m bench.passes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rounds", type=positive, default=20, help="default: %(default)s")
    parser.add_argument(
        "--first",
        type=positive,
        default=len(TARGET_SHAPES),
        metavar="N",
        help="time the first N shapes; default: all",
    )
    add_out(parser)
    args = parser.parse_args(argv)
    try:
        module = importlib.import_module("fnet_core_bench")
    except ImportError as error:
        print(f"absent: CPU kernels alone: {error}; `make core` builds it in build/cmake/release")
        return 2
    if not is_writable(args.out, "bench.passes"):
        return 2
    facts = machine.describe()
    present = [isa.strip() for isa in module.isas().split(",")]
    absent = {isa: f"this CPU runs {', '.join(present)}" for isa in ISAS if isa not in present}
    if not module.streams():
        absent["streaming copy"] = "this processor's kernels have no non-temporal stores"
    rows = []
    for isa in present:
        assert module.set_isa(isa)
        for shape in TARGET_SHAPES[: args.first]:
            for dtype in ("float32", "bfloat16"):
                for warm in (False, True):
                    found = measure(module, shape, args.rounds, dtype, warm)
                    rows += [{"isa": isa, **row} for row in found]
            print(f"{isa} {label(shape)}", file=sys.stderr)
    module.set_isa("auto")
    heads = ["kernel, one thread", "median us", "q1", "q3", "MB", "GB/s", "copy GB/s"]
    written = machine.save(args.out, "passes", facts, start, absent=absent, passes=rows)
    print(table([*heads, "streaming copy GB/s"], map(cells, rows)))
    print(f"{absence_lines(absent)}\n{written}")
    return 0


if __name__ == "__main__":
    run_main(main)
