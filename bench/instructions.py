"""Instructions per call: a figure that no neighbour disturbs (`python bench/instructions.py`).

One thread, under valgrind's callgrind, which counts every instruction of the process (and knows no
AVX-512: the AVX2 kernels are counted). A call of getppid() before and after each case makes
callgrind write what it has counted since the last one. Takes about two minutes, most of it
importing torch. The counts depend on the compiler; compare those of one compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fnet_kernels._table import table

SHAPES = [(1, 128, 768), (1, 512, 768), (1, 512, 1024), (1, 105, 120)]
PASSES = ("forward", "both")
CALLS = 3  # per case, after one that makes the tables


def cases() -> list[tuple[tuple[int, int, int], str]]:
    """Shapes and passes, in the order in which they run."""
    return [(shape, direction) for shape in SHAPES for direction in PASSES]


def child() -> None:
    """Run every case; getppid() stands before and after the calls that count."""
    import torch

    from fnet_kernels._bench.contestants import ours
    from fnet_kernels._bench.setting import Setting
    from fnet_kernels._bench.timing import Problem

    torch.set_num_threads(1)
    print(torch.ops.fnet_kernels.cpu_isa(), flush=True)
    for shape, direction in cases():
        function = ours(torch.ops.fnet_kernels.cpu_isa()).make(Setting(shape))
        call = Problem.random(shape).calls(direction)(function)
        call()
        os.getppid()
        for _ in range(CALLS):
            call()
        os.getppid()


def counted(folder: Path) -> list[int]:
    """What each dump holds, in the order in which they were written."""
    dumps = sorted(
        (path for path in folder.glob("out.*") if path.suffix[1:].isdigit()),
        key=lambda path: int(path.suffix[1:]),
    )
    totals = []
    for path in dumps:
        found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(errors="replace"), re.M)
        totals.append(int(found[1]) if found else 0)
    return totals


def measure() -> tuple[str, dict[str, int]]:
    """Instruction set, and instructions per call by case.

    Raises:
        RuntimeError: valgrind does not run the child.
    """
    with tempfile.TemporaryDirectory() as name:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={name}/out"]
        command += ["--dump-before=getppid", sys.executable, __file__, "--child"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        totals = counted(Path(name))
    # The dumps: before the first case, first case, between, second case, ...
    wanted = totals[1 : 2 * len(cases()) : 2]
    if done.returncode or len(wanted) != len(cases()):
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        raise RuntimeError(f"callgrind gave {len(totals)} counts: {reason}")
    names = ["x".join(map(str, shape)) + " " + direction for shape, direction in cases()]
    per_call = {name: total // CALLS for name, total in zip(names, wanted, strict=True)}
    return done.stdout.split()[0], per_call


def main() -> int:
    """Print instructions per call, and the change where a file to compare with is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the counts to this JSON file")
    parser.add_argument("--against", type=Path, help="compare with such a file")
    parser.add_argument("--most", type=float, help="exit 1 where a count grew by more percent")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child()
        return 0
    if shutil.which("valgrind") is None:
        print("absent: instruction counts: valgrind is not installed (say, `apt install valgrind`)")
        return 0
    isa, counts = measure()
    before = json.loads(args.against.read_text())["instructions"] if args.against else {}
    rows, worst = [], 0.0
    for name, count in counts.items():
        change = 100 * (count / before[name] - 1) if name in before else None
        worst = max(worst, change or 0.0)
        rows.append([name, f"{count:,}", "" if change is None else f"{change:+.2f}%"])
    print(table([f"{isa}, one thread", "instructions per call", "change"], rows))
    if args.out:
        args.out.write_text(json.dumps({"isa": isa, "instructions": counts}, indent=1) + "\n")
    return int(args.most is not None and worst > args.most)


if __name__ == "__main__":
    sys.exit(main())
