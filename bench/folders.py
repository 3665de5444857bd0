"""Output folders: build/bench, which git ignores, and the committed bench/results.

defines: RESULTS, SCRATCH, add_out, add_gpu_out, gpu_out, is_writable
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
SCRATCH = Path(__file__).parent.parent / "build" / "bench"


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add --out and --keep, so that a quick run does not overwrite committed results."""
    parser.add_argument(
        "--out", type=Path, default=SCRATCH, help="output folder (default: build/bench)"
    )
    parser.add_argument(
        "--keep", dest="out", action="store_const", const=RESULTS, help="write to bench/results"
    )


def add_gpu_out(parser: argparse.ArgumentParser, rehearsal: str) -> None:
    """Add --out and --rehearse, which runs `rehearsal` on the CPU; see `gpu_out`."""
    parser.add_argument(
        "--out", type=Path, help="output folder (default: bench/results; to rehearse, build/bench)"
    )
    parser.add_argument("--rehearse", action="store_true", help=f"{rehearsal} on the CPU")


def gpu_out(args: argparse.Namespace) -> Path:
    """The output folder: a GPU is rarely at hand, so its results are kept, but no rehearsal's."""
    return args.out or (SCRATCH if args.rehearse else RESULTS)


def is_writable(folder: Path, command: str) -> bool:
    """Create `folder` and write to it. If that fails, stderr says so in one line."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        print(
            f"{command}: error: --out: cannot write to {folder}: {error.strerror}", file=sys.stderr
        )
        return False
    return True
