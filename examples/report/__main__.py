"""`python -m examples.report`: writes docs/results.md, its plots and a block of the README.

python -m examples.report               # from examples/results
python -m examples.report --check       # exit status 1 if a document is out of date
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.readme import updated
from examples.report.floors import with_linear
from examples.report.page import page
from examples.report.plots import plot_budget, plot_mixers
from examples.report.readme import BLOCK, MAKER, block
from examples.studies.folders import RESULTS
from examples.studies.linear import NAME as LINEAR
from examples.studies.runs import ROOT
from examples.studies.table import STUDIES
from examples.training.failures import replacing

PAGE = ROOT / "docs" / "results.md"
README = ROOT / "README.md"
#: The study that the page and the README show as a plot, and the name of the other result.
PLOTTED, BUDGET = "r8-pairs", "latency-budget"


def read(results: Path) -> dict[str, dict[str, Any]]:
    """Every result in the folder, by name, with the floor of the linear model of words."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}
    if not found:
        raise SystemExit(f"--results must be a folder with JSON files of studies, got {results}")
    sets = found.pop(LINEAR, {}).get("sets", ())
    for part in found.get(BUDGET, {}).get("lengths", ()):
        part.update(with_linear(part, sets))
    return {name: with_linear(result, sets) for name, result in found.items()}


def text(found: dict[str, dict[str, Any]]) -> str:
    """The page. It shows the plot of a result that exists."""
    plots = {name: f"../examples/results/{name}.png" for name in (PLOTTED, BUDGET) if name in found}
    return page(list(STUDIES.values()), found, plots, found.get(BUDGET))


def documents(page: Path, readme: Path, found: dict[str, dict[str, Any]]) -> dict[Path, str]:
    """What the documents should say."""
    made = {page: text(found)}
    if PLOTTED in found:
        made[readme] = updated(readme.read_text(), {BLOCK: block(found[PLOTTED])}, MAKER)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 1 with --check if a document does not show the committed results."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--page", type=Path, default=PAGE, help="default: docs/results.md")
    parser.add_argument("--readme", type=Path, default=README, help="default: README.md")
    args = parser.parse_args(argv)
    found = read(args.results)
    made = documents(args.page, args.readme, found)
    stale = [path for path, said in made.items() if not path.exists() or path.read_text() != said]
    if args.check:
        print(f"out of date: {', '.join(map(str, stale))}" if stale else "up to date")
        return int(bool(stale))
    for path, said in made.items():
        with replacing(path) as file:
            file.write(said.encode())
    for name, draw in ((PLOTTED, plot_mixers), (BUDGET, plot_budget)):
        if name in found and not draw(found[name], args.results / f"{name}.png"):
            print("no plots: matplotlib is not installed", file=sys.stderr)
    print(f"written: {', '.join(map(str, made))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
