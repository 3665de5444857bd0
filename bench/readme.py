"""Write the figures of README.md, docs/benchmarks.md and docs/cpu.md; with --check only compare.

defines: blocks, updated

The text between the markers is generated from the JSON files in bench/results; see figures.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.arguments import run_main
from bench.figures import cores_section, cuda_block, highlights, machine_section, speed
from bench.folders import RESULTS
from bench.gpu_figures import gpu_line, gpu_section
from bench.length_figures import length_section
from bench.mixer_figures import mixer_section
from bench.recorded import Machine
from bench.sweep_figures import sweep_section

ROOT = Path(__file__).parent.parent
#: The machine in the table and plot of the README; docs/benchmarks.md shows all machines.
SHOWN = "amd-epyc-f25m17-targets.json"
#: The results of `python -m bench.gpu`.
GPU_RUNS = "nvidia-*.json"
#: The names of the blocks in each document.
DOCUMENTS = {
    "README.md": ("highlights", "speed"),
    "docs/benchmarks.md": ("figures", "gpus", "cuda", "lengths", "sweep", "mixers"),
    "docs/cpu.md": ("cores",),
}


MAKER = "bench/readme.py"


def marks(block: str, maker: str = MAKER) -> tuple[str, str]:
    """The marker lines before and after a block that the script `maker` generates."""
    return (
        f"<!-- {block}: begin; made by {maker}, do not edit -->",
        f"<!-- {block}: end -->",
    )


def updated(document: str, texts: dict[str, str], maker: str = MAKER) -> str:
    """Replace the text between the markers of each block.

    Raises:
        ValueError: a marker is missing, repeated, or out of order.
    """
    for name, text in texts.items():
        begin, end = marks(name, maker)
        if document.count(begin) != 1 or document.count(end) != 1:
            raise ValueError(f"the document must contain {begin!r} and {end!r} once each")
        head, rest = document.split(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise ValueError(f"the marker {end!r} comes before {begin!r}")
        document = f"{head}{begin}\n{text}\n{end}{tail}"
    return document


def _read(results: Path, names: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(results.glob(names))]


def blocks(results: Path = RESULTS) -> dict[str, str]:
    """Generate every block from all machines in `results`."""
    machines = {path.name: Machine.read(path) for path in sorted(results.glob("*-targets.json"))}
    shown = machines[SHOWN]
    gpus = _read(results, GPU_RUNS)
    newest = sorted(gpus, key=lambda run: str(run["machine"]["date"]))[-1:]

    def sections(name: str, section: Callable[[dict[str, Any]], str]) -> str:
        return "\n\n".join(map(section, _read(results, f"*-{name}.json")))

    return {
        "cores": sections("cores", cores_section),
        "highlights": "\n".join([highlights(list(machines.values())), *map(gpu_line, newest)]),
        "speed": speed(shown, [m for m in machines.values() if m is not shown]),
        "gpus": "\n\n".join(map(gpu_section, gpus)),
        "figures": "\n\n".join(map(machine_section, machines.values())),
        "lengths": sections("lengths", length_section),
        "sweep": sweep_section(_read(results, "*-sweep-*.json")),
        "mixers": sections("mixers", mixer_section),
        "cuda": cuda_block(json.loads((results / "kernel_report.json").read_text())),
    }


def main() -> int:
    """Returns 1 with --check if a document does not show the committed results."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.readme", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    args = parser.parse_args()
    made = blocks()
    stale = []
    for name, parts in DOCUMENTS.items():
        path = ROOT / name
        before = path.read_text()
        after = updated(before, {part: made[part] for part in parts})
        if after != before:
            stale.append(name)
            if not args.check:
                path.write_text(after)
    said = "out of date" if args.check else "updated"
    print(f"{said}: {', '.join(stale)}" if stale else "up to date")
    return int(args.check and bool(stale))


if __name__ == "__main__":
    run_main(main)
