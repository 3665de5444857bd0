"""Instructions per call, independent of machine load: `python -m bench.instructions`.

Runs one thread under valgrind's callgrind, which counts every instruction of the process. Valgrind
knows no AVX-512, so it counts the AVX2 kernels. A call of getppid() before and after each case
makes callgrind write the count since the previous call. Callgrind starts to count once torch is
imported, which would take two minutes otherwise; a run takes one. The counts depend on the
compiler: counts of another compiler are shown, not compared.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.arguments import run_main
from bench.written import read_json, write_json
from fnet_kernels._ops.library import KERNELS, library_folder
from fnet_kernels._terminal import table

ROOT = Path(__file__).parent.parent
CALLS = 3  # per case, after one call that creates the tables


@dataclass(frozen=True)
class Case:
    """A shape (batch, seq, hidden), the name of a torch dtype, and a key of `timing.DIRECTIONS`."""

    shape: tuple[int, int, int]
    dtype: str
    direction: str

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} {self.dtype} {self.direction}"


CASES = [
    Case(shape, dtype, direction)
    for shape in ((1, 128, 768), (1, 512, 768), (1, 512, 1024), (1, 105, 120))
    for dtype in ("float32", "bfloat16")
    for direction in ("forward", "both")
]


def child() -> None:
    """Start counting, then run every case, with getppid() before and after the counted calls."""
    import torch

    from bench.contestants.registry import ours
    from bench.contestants.setting import Setting
    from bench.measure.timing import Problem

    start = ["callgrind_control", "--instr=on", str(os.getpid())]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    torch.set_num_threads(1)
    print(torch.ops.fnet_kernels.cpu_isa(), flush=True)
    function = ours(torch.ops.fnet_kernels.cpu_isa()).make(Setting(CASES[0].shape))
    for case in CASES:
        problem = Problem.random(case.shape, getattr(torch, case.dtype))
        call = problem.calls(case.direction)(function)
        call()
        os.getppid()
        for _ in range(CALLS):
            call()
        os.getppid()


def counted(folder: Path) -> list[int]:
    """The instruction count of each dump in `folder`, in the order of writing."""
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
    """Count instructions in a child process: the instruction set, and counts per call by case.

    Raises:
        RuntimeError: valgrind fails to run the child process.
    """
    with tempfile.TemporaryDirectory() as name:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={name}/out"]
        command += ["--instr-atstart=no", "--dump-before=getppid"]
        command += [sys.executable, "-m", "bench.instructions", "--child"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        totals = counted(Path(name))
    # The dumps: before the first case, first case, between, second case, ...
    wanted = totals[1 : 2 * len(CASES) : 2]
    if done.returncode or len(wanted) != len(CASES):
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        raise RuntimeError(f"callgrind gave {len(totals)} counts: {reason}")
    per_call = {str(case): total // CALLS for case, total in zip(CASES, wanted, strict=True)}
    return done.stdout.split()[0], per_call


def compiler() -> str:
    """The compiler of the extension, from its .comment section."""
    content = (library_folder() / KERNELS).read_bytes()
    found = re.search(rb"(GCC: \([^)]*\) [\d.]+|clang version [\d.]+)", content)
    return found[1].decode() if found else "unknown"


def facts() -> dict[str, Any]:
    """The compiler, valgrind, processor, versions and date of the counts."""
    from bench.measure import machine

    version = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    here = machine.describe()
    about = {key: here[key] for key in ("cpu", "versions", "date")}
    return {"compiler": compiler(), "valgrind": version.stdout.strip(), **about}


def main() -> int:
    """Print instructions per call, and the change relative to --against.

    Returns 1 if a count grew by more than --max-growth percent, and 2 if that cannot be checked.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="write the counts to this JSON file")
    parser.add_argument("--against", type=Path, help="compare with this JSON file")
    parser.add_argument(
        "--max-growth", type=float, help="exit 1 if a count grew by more than this percentage"
    )
    parser.add_argument(
        "--if-available", action="store_true", help="exit 0 if --max-growth cannot be checked"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child()
        return 0
    unchecked = 2 if args.max_growth is not None and not args.if_available else 0
    if shutil.which("valgrind") is None:
        print("absent: instruction counts: valgrind is not installed (`apt install valgrind`)")
        return unchecked
    known: dict[str, Any] = {"instructions": {}}
    if args.against:
        try:
            known = read_json(args.against, "instructions")
        except ValueError as error:
            parser.error(f"--against: {error}")
    here = facts()
    isa, counts = measure()
    before = known["instructions"]
    rows, worst = [], 0.0
    for name, count in counts.items():
        change = 100 * (count / before[name] - 1) if name in before else None
        worst = max(worst, change or 0.0)
        rows.append([name, f"{count:,}", "" if change is None else f"{change:+.2f}%"])
    print(table([f"{isa}, one thread", "instructions per call", "change"], rows))
    if args.out:
        content = {"isa": isa, **here, "instructions": counts}
        write_json(args.out, content)
    if args.against and known.get("compiler") != here["compiler"]:
        print(f"not compared: built by {here['compiler']}, recorded with {known.get('compiler')}")
        return unchecked
    return int(args.max_growth is not None and worst > args.max_growth)


if __name__ == "__main__":
    run_main(main)
