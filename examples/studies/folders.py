"""Where studies keep runs and results.

defines: OUT, RESULTS, add_folders, result_folder
"""

from __future__ import annotations

import argparse
from pathlib import Path

from examples.studies.runs import ROOT

OUT = ROOT / "build" / "studies"
RESULTS = ROOT / "examples" / "results"


def add_folders(made: argparse.ArgumentParser) -> None:
    """Add --out, the folder of the runs, and --keep."""
    made.add_argument("--out", type=Path, default=OUT, help="of the runs (default build/studies)")
    made.add_argument(
        "--keep",
        action="store_true",
        help="add results to those in examples/results, to commit them, and skip their runs",
    )


def result_folder(args: argparse.Namespace) -> Path:
    """Where the options say that results go."""
    folder: Path = RESULTS if args.keep else args.out / "results"
    return folder
