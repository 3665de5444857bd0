"""Output folders: build/bench, which git ignores, and the committed bench/results.

defines: RESULTS, add_out
"""

from __future__ import annotations

import argparse
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
