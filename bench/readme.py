"""Write the README's figures from committed results: `python bench/readme.py` (--check: only say).

defines: block, updated

Everything between the two markers is made here from the JSON of bars.py, and nothing is typed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "amd-epyc-f25m17-bars.json"
BEGIN = "<!-- figures: begin; made by bench/readme.py, do not edit -->"
END = "<!-- figures: end -->"
FORMULA, TORCH, FLOOR = (
    "forward fp32: formula / ours",
    "forward fp32: best torch / ours",
    "forward fp32: ours / layer_norm(x + x)",
)
STEP, BF16 = "forward + backward: formula / ours", "forward: ours bf16 / ours fp32"
MEMORY = "extra memory / x in fp32"
REUSED = " (reused pages)"


class Figures:
    """The verdicts of one run of bars.py, by bar, shape and instruction set."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.machine = content["machine"]
        self.bars = content["bars"]
        self.isas = list(dict.fromkeys(bar["isa"] for bar in self.bars))
        shapes = (bar["shape"] for bar in self.bars if bar["bar"] == FORMULA)
        self.shapes = [shape for shape in dict.fromkeys(shapes) if not shape.endswith(REUSED)]

    def value(self, bar: str, shape: str, isa: str) -> float:
        """The median measured for `bar`."""
        found = [
            v["measured"]
            for v in self.bars
            if (v["bar"], v["shape"], v["isa"]) == (bar, shape, isa)
        ]
        if len(found) != 1:
            raise ValueError(f"{len(found)} figures for {bar} at {shape} on {isa}")
        return float(found[0])

    def cell(self, bar: str, shape: str, digits: int, *, inverse: bool = False) -> str:
        """Figure of the best instruction set, those of the others in parentheses."""
        values = [self.value(bar, shape, isa) for isa in self.isas]
        texts = [f"{1 / v if inverse else v:.{digits}f}" for v in values]
        others = [f"{isa}: {text}" for isa, text in zip(self.isas[1:], texts[1:], strict=True)]
        return texts[0] + (f" ({', '.join(others)})" if others else "")

    def span(self, bar: str, isa: str, digits: int) -> str:
        """`least to most` over the shapes."""
        values = [self.value(bar, shape, isa) for shape in self.shapes]
        least, most = (f"{v:.{digits}f}" for v in (min(values), max(values)))
        return least if least == most else f"{least} to {most}"

    def spans(self, bar: str, digits: int) -> str:
        """The span of the best instruction set, those of the others in parentheses."""
        others = [f"{isa}: {self.span(bar, isa, digits)}" for isa in self.isas[1:]]
        best = self.span(bar, self.isas[0], digits)
        return best + (f" ({', '.join(others)})" if others else "")


def block(content: dict[str, Any]) -> str:
    """The text between the markers, from what bars.py wrote."""
    figures = Figures(content)
    machine, best = figures.machine, figures.isas[0]
    cpu, load = machine["cpu"], (machine["load_at_start"] or [0.0])[0]
    name = cpu["name"]
    if "family" in cpu:
        name += f" (family {cpu['family']}, model {cpu.get('model')})"
    idle = f" The load average was {load:.1f}: the machine was not idle." if load > 0.5 else ""
    rows = [
        f"| {shape.replace('x', ' x ')} | {figures.cell(FORMULA, shape, 1)} "
        f"| {figures.cell(TORCH, shape, 1)} | {figures.cell(FLOOR, shape, 2, inverse=True)} |"
        for shape in figures.shapes
    ]
    reused = [f"{figures.value(FORMULA, shape + REUSED, best):.1f}" for shape in figures.shapes]
    missed = sum(not bar["pass"] for bar in figures.bars)
    verdict = f"{missed} of {len(figures.bars)} are missed" if missed else "all are met"
    return "\n".join(
        [
            f"Forward in float32 on {name}, {machine['threads']} threads, {best}, "
            f"torch {machine['versions']['torch']}, {machine['date'][:10]}: how many",
            f"times as long as ours others take, medians of one interleaved run.{idle}",
            "",
            "| batch x seq x hidden | FNet's formula, `layer_norm(x + fftn(x).real)` "
            "| best torch composition, eager or compiled "
            "| `layer_norm(x + x)`, which no sublayer can avoid |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "A good part of what `fftn` costs is fresh memory for its complex result: with malloc "
            "told to keep its memory",
            f"the first column is {', '.join(reused)}. Forward and backward together: "
            f"{figures.spans(STEP, 1)} times the speed of",
            f"autograd through the formula. bfloat16 takes {figures.spans(BF16, 1)} times as long "
            "as float32.",
            f"A call needs {figures.span(MEMORY, best, 2)} times `x` in float32 of extra memory.",
            "Of the bars that we set ourselves, at each shape, instruction set and malloc setting, "
            f"{verdict}: `make bench` says which.",
        ]
    )


def updated(readme: str, content: dict[str, Any]) -> str:
    """`readme` with a fresh block between the markers.

    Raises:
        ValueError: the markers are not there, once each and in order.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"the README needs one line {BEGIN!r} and one {END!r}")
    head, rest = readme.split(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError(f"{END!r} stands before {BEGIN!r}")
    return f"{head}{BEGIN}\n{block(content)}\n{END}{tail}"


def main() -> int:
    """Exit status 1 with --check when the README is not what the results say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON of bars.py")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    path = ROOT / "README.md"
    before = path.read_text()
    after = updated(before, json.loads(args.results.read_text()))
    if args.check:
        print("up to date" if after == before else "README.md is out of date: run bench/readme.py")
        return int(after != before)
    path.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
