"""Where a measurement is written: build/bench, which git ignores, or the committed results.

defines: RESULTS, add_out
"""

from __future__ import annotations

import argparse
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
SCRATCH = Path(__file__).parent.parent / "build" / "bench"


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add --out and --keep: a quick look must not overwrite what is committed."""
    parser.add_argument("--out", type=Path, default=SCRATCH, help="folder (default: build/bench)")
    parser.add_argument(
        "--keep", dest="out", action="store_const", const=RESULTS, help="into bench/results"
    )
