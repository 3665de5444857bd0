"""The CPU kernels alone: `python bench/passes.py`, where CMake has built fnet_core_bench.

For each kernel, shape and instruction set, on one thread: time of one sequence, the bytes that it
has to read and write, GB/s, and the same of a copy that moves as many bytes, taken in the same
rounds. Prints a table and writes results/<cpu>-passes.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from fnet_kernels._bench import machine
from fnet_kernels._bench.shapes import BARS, Shape, label
from fnet_kernels._table import table
from fnet_kernels._timing import Timing

RESULTS = Path(__file__).parent / "results"
KERNELS = ("seq_fft", "row_fft", "norm_grad")
COLD = 128 << 20  # bytes of x in rotation


def measure(module: Any, shape: Shape, rounds: int) -> list[dict[str, Any]]:
    """One row a kernel."""
    _, seq, hidden = shape
    batch = max(2, COLD // (4 * seq * hidden))
    found = module.passes(batch, seq, hidden, rounds)
    rows = []
    for kernel in KERNELS:
        (moved, times), (copied, copies) = found[kernel], found[f"copy as {kernel}"]
        low, middle, high = Timing(tuple(times)).quartiles
        copy = Timing(tuple(copies)).median
        rows.append(
            {
                "kernel": kernel,
                "seq": seq,
                "hidden": hidden,
                "q1_us": 1e6 * low,
                "median_us": 1e6 * middle,
                "q3_us": 1e6 * high,
                "bytes": moved,
                "gb_per_s": moved / middle / 1e9,
                "copy_gb_per_s": copied / copy / 1e9,
            }
        )
    return rows


def main() -> int:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    args = parser.parse_args()
    module = importlib.import_module("fnet_core_bench")
    facts = machine.describe()
    rows = []
    for isa in module.isas().split(","):
        assert module.set_isa(isa.strip())
        for shape in BARS:
            rows += [{"isa": isa.strip(), **row} for row in measure(module, shape, args.rounds)]
            print(f"{isa.strip()} {label(shape)}", file=sys.stderr)
    module.set_isa("auto")
    cells = [
        [f"{r['kernel']} {r['seq']}x{r['hidden']} {r['isa']}"]
        + [f"{r[key]:.0f}" for key in ("median_us", "q1_us", "q3_us")]
        + [f"{r['bytes'] / 1e6:.1f}", f"{r['gb_per_s']:.1f}", f"{r['copy_gb_per_s']:.1f}"]
        for r in rows
    ]
    heads = ["kernel, one thread", "median us", "q1", "q3", "MB", "GB/s", "copy GB/s"]
    print(table(heads, cells))
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{machine.slug()}-passes.json"
    path.write_text(json.dumps({"machine": facts, "passes": rows}, indent=1) + "\n")
    print(f"\nwritten: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
