"""Write the README's figures from committed results: `python bench/readme.py` (--check: only say).

defines: Machine, block, cuda_block, updated

Everything between the markers is made here from JSON: of bars.py and the command, for each machine
in results/, and of the kernel report. Nothing is typed, and nothing is said that the data do not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.bars.bar import Bar
from bench.bars.promises import BACKWARD, BF16, FLOOR, FORMULA, MEMORY, PROMISES, STEP, TORCH
from bench.bars.report import ROOMS
from bench.folders import RESULTS

README = Path(__file__).parent.parent / "README.md"
MARKS = {
    name: (f"<!-- {name}: begin; made by bench/readme.py, do not edit -->", f"<!-- {name}: end -->")
    for name in ("figures", "cuda")
}
REUSED = " (reused pages)"


class Machine:
    """One run of bars.py and, where it was recorded, the command's forward sweep beside it."""

    def __init__(self, content: dict[str, Any], sweep: list[dict[str, Any]]) -> None:
        self.facts = content["machine"]
        self.bars = content["bars"]
        self.sweep = sweep
        self.isas = list(dict.fromkeys(bar["isa"] for bar in self.bars))
        shapes = (bar["shape"] for bar in self.bars if bar["bar"] == FORMULA.name)
        self.shapes = [shape for shape in dict.fromkeys(shapes) if not shape.endswith(REUSED)]

    @classmethod
    def read(cls, path: Path) -> Machine:
        """From <cpu>-bars.json, and <cpu>-fp32-forward/bench.json where there is one."""
        slug = path.name.removesuffix("-bars.json")
        sweep = path.parent / f"{slug}-fp32-forward" / "bench.json"
        rows = json.loads(sweep.read_text())["rows"] if sweep.exists() else []
        return cls(json.loads(path.read_text()), rows)

    def verdicts(self, bar: Bar) -> list[dict[str, Any]]:
        """All that was measured for `bar`."""
        return [v for v in self.bars if v["bar"] == bar.name]

    def value(self, bar: Bar, shape: str, isa: str) -> float:
        """The median measured for `bar`."""
        found = [v for v in self.verdicts(bar) if (v["shape"], v["isa"]) == (shape, isa)]
        if len(found) != 1:
            raise ValueError(f"{len(found)} figures for {bar.name} at {shape} on {isa}")
        return float(found[0]["measured"])

    def cell(self, bar: Bar, shape: str, digits: int, *, inverse: bool = False) -> str:
        """Figure of the best instruction set, those of the others in parentheses."""
        values = [self.value(bar, shape, isa) for isa in self.isas]
        texts = [f"{1 / v if inverse else v:.{digits}f}" for v in values]
        others = [f"{isa}: {text}" for isa, text in zip(self.isas[1:], texts[1:], strict=True)]
        return texts[0] + (f" ({', '.join(others)})" if others else "")

    def spans(self, bar: Bar, digits: int) -> str:
        """Least to most over the shapes, by instruction set, the best one first."""
        found = []
        for isa in self.isas:
            values = [v["measured"] for v in self.verdicts(bar) if v["isa"] == isa]
            if values:
                found.append((isa, span(values, digits)))
        others = [f"{isa}: {text}" for isa, text in found[1:]]
        return found[0][1] + (f" ({', '.join(others)})" if others else "")


def span(values: Sequence[float], digits: int) -> str:
    """`least to most`."""
    least, most = (f"{v:.{digits}f}" for v in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"


def _about(machine: Machine) -> str:
    facts = machine.facts
    cpu, load = facts["cpu"], (facts["load_at_start"] or [0.0])[0]
    name = cpu["name"]
    if "family" in cpu:
        name += f" (family {cpu['family']}, model {cpu.get('model')})"
    method = (
        " Inputs are cold, and large tensors of all contestants in huge pages."
        if facts.get("huge_pages")
        else " One x for all rounds, which another's work has pushed out of the caches in part."
    )
    idle = f" The load average was {load:.1f}: the machine was not idle." if load > 0.5 else ""
    return (
        f"Forward in float32 on {name}, {facts['threads']} threads, {machine.isas[0]}, "
        f"torch {facts['versions']['torch']}, {facts['date'][:10]}: how many\n"
        f"times as long as ours others take, medians of one interleaved run.{method}{idle}"
    )


def _table(machine: Machine) -> str:
    heads = [
        "batch x seq x hidden",
        "FNet's formula, `layer_norm(x + fftn(x).real)`",
        "best torch composition, eager or compiled",
        "eager `layer_norm(x + x)`, no mixing at all",
    ]
    rows = [
        f"| {shape.replace('x', ' x ')} | {machine.cell(FORMULA, shape, 1)} "
        f"| {machine.cell(TORCH, shape, 1)} | {machine.cell(FLOOR, shape, 2, inverse=True)} |"
        for shape in machine.shapes
    ]
    return "\n".join([f"| {' | '.join(heads)} |", "| --- | --- | --- | --- |", *rows])


def _fresh_memory(machine: Machine) -> str:
    """What malloc keeping its memory does to the first column; a cause only where all agree."""
    best = machine.isas[0]
    known = {v["shape"] for v in machine.verdicts(FORMULA)}
    shapes = [shape for shape in machine.shapes if shape + REUSED in known]
    if not shapes:
        return ""
    kept = [machine.value(FORMULA, shape + REUSED, best) for shape in shapes]
    fresh = [machine.value(FORMULA, shape, best) for shape in shapes]
    told = f"With malloc told to keep its memory the first column is {', '.join(_one(kept))}"
    less = all(a < 0.95 * b for a, b in zip(kept, fresh, strict=True))
    return told + (": fresh pages are a part of what `fftn` costs." if less else ".")


def _one(values: Sequence[float]) -> list[str]:
    return [f"{v:.1f}" for v in values]


def _others(machine: Machine) -> str:
    """Backward, bfloat16 and memory, as far as they were measured."""
    texts = []
    for bar, text in (
        (
            BACKWARD,
            "The backward pass alone has {} times the speed of the formula's under autograd",
        ),
        (
            STEP,
            "forward and backward together have {} times the speed of autograd through the formula",
        ),
        (BF16, "bfloat16 takes {} times as long as float32"),
    ):
        if machine.verdicts(bar):
            texts.append(text.format(machine.spans(bar, 1)))
    if machine.verdicts(MEMORY):
        of_x = machine.spans(MEMORY, 2)
        texts.append(f"a call needs {of_x} times `x` in float32 of extra memory")
    text = ";\n".join(texts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _attention(machine: Machine) -> str:
    """Self-attention's sublayer over ours, at the ends of the sweep."""
    rows = [r for r in machine.sweep if r["contestant"] == "self-attention" and r["over_ours"]]
    if not rows:
        return ""
    mine = {r["shape"]: r for r in machine.sweep if r["role"] == "ours" and r["over_ours"] == 1}
    rows = sorted((r for r in rows if r["hidden"] == 768 and r["seq"] >= 512), key=_length)
    texts = []
    for row in {r["seq"]: r for r in (rows[0], rows[-1])}.values():
        text = f"{row['over_ours']:.1f} times as long as ours"
        memory = (row["peak_mib"], mine.get(row["shape"], {}).get("peak_mib"))
        if all(memory):
            text += f" and {memory[0] / memory[1]:.1f} times the memory"
        texts.append(f"{text} at {row['seq']} tokens")
    return f"A self-attention sublayer (SDPA, same width) takes {', '.join(texts)}."


def _length(row: dict[str, Any]) -> int:
    return int(row["seq"])


def _measured(verdict: dict[str, Any]) -> float:
    return float(verdict["measured"])


def _limits(machine: Machine) -> str:
    """Which bars hold and which do not, and what would be reached at the speed of no mixing."""
    held = [(bar, v, bar.keeps(v["measured"])) for bar in PROMISES for v in machine.verdicts(bar)]
    missed = [(bar, v) for bar, v, kept in held if not kept]
    where = "shape, instruction set and malloc setting"
    if not missed:
        return f"All {len(held)} bars that we set ourselves, by {where}, hold."
    lines = [f"Of {len(held)} bars that we set ourselves, by {where}, {len(missed)} are missed:"]
    for bar in dict.fromkeys(bar for bar, _ in missed):
        of_bar = [v for b, v in missed if b is bar]
        worst = (min if bar.at_least else max)(of_bar, key=_measured)
        limit = f"{bar.name} {bar}: at {len(of_bar)} of {len(machine.verdicts(bar))}, at worst "
        limit += f"{worst['measured']:.2f} at {worst['shape']} on {worst['isa']}"
        rooms = [v["room"][ROOMS[1]] for v in of_bar if ROOMS[1] in v.get("room", {})]
        if rooms:
            limit += f"; an op as fast as eager {ROOMS[1]} would reach {span(rooms, 1)} there"
        lines.append(f"- {limit}")
    return "\n".join(lines)


def block(machines: Sequence[Machine]) -> str:
    """The CPU figures, machine by machine."""
    texts = []
    for machine in machines:
        said = (_fresh_memory(machine), _others(machine), _attention(machine))
        about = "\n".join(filter(None, said))
        texts += [_about(machine), _table(machine), *filter(None, (about, _limits(machine)))]
    return "\n\n".join(texts)


#: Bytes per element that the formula's forward moves in float32, operation by operation: cast to
#: complex, FFT along hidden, FFT along seq, x + real part, LayerNorm.
_FORMULA_BYTES = sum((4 + 8, 8 + 8, 8 + 8, 4 + 8 + 4, 4 + 4))
_MIRRORED = "seq_fft x read"  # see kernel_report.py


def cuda_block(report: dict[str, Any]) -> str:
    """What is counted of the CUDA kernels without a GPU.

    Raises:
        ValueError: another access than that of mirrored columns moves more than whole sectors.
    """
    audit = report["audit"]

    def moved(kernels: Sequence[str], dtype: str) -> str:
        counts = (audit[f"{kernel} 512x768 {dtype}"]["bytes_per_element"] for kernel in kernels)
        return f"{sum(counts):.1f}"

    forward = [moved(("seq_fft", "row_fft"), dtype) for dtype in ("bfloat16", "float32")]
    backward = [moved(("row_grad", "seq_grad"), dtype) for dtype in ("bfloat16", "float32")]
    usual = {name: figures for name, figures in audit.items() if " 8192x" not in name}
    for kernel, figures in usual.items():
        for site, sectors in figures["sectors"].items():
            name = f"{kernel.split()[0]} {site}"
            if sectors > 1.1 and name != _MIRRORED:
                raise ValueError(f"{kernel}: {site} moves {sectors:.2f} times its sectors")
    worst = max(figures["worst_site"] for figures in audit.values())
    conflicts = (
        "shared memory is free of bank conflicts"
        if worst <= 1
        else f"at its worst site shared memory takes {worst:.1f} times the wavefronts it needs"
    )
    return (
        f"Counted without a GPU (`make kernel-report`): forward at 512 x 768 moves {forward[0]} "
        f"bytes an element in bfloat16 and {forward[1]}\nin float32, backward {backward[0]} and "
        f"{backward[1]}, all levels of memory counted alike, against {_FORMULA_BYTES} of the "
        "formula's forward; up to 4096 tokens\nevery global access but that of x's mirrored "
        f"columns moves whole sectors, and {conflicts}."
    )


def updated(readme: str, blocks: dict[str, str]) -> str:
    """`readme` with fresh blocks between their markers.

    Raises:
        ValueError: the markers are not there, once each and in order.
    """
    for name, text in blocks.items():
        begin, end = MARKS[name]
        if readme.count(begin) != 1 or readme.count(end) != 1:
            raise ValueError(f"the README needs one line {begin!r} and one {end!r}")
        head, rest = readme.split(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise ValueError(f"{end!r} stands before {begin!r}")
        readme = f"{head}{begin}\n{text}\n{end}{tail}"
    return readme


def made(paths: Sequence[Path] = ()) -> dict[str, str]:
    """Every block, from the files of bars.py given, or from all in results/."""
    machines = [Machine.read(path) for path in paths or sorted(RESULTS.glob("*-bars.json"))]
    report = json.loads((RESULTS / "kernel_report.json").read_text())
    return {"figures": block(machines), "cuda": cuda_block(report)}


def main() -> int:
    """Exit status 1 with --check when the README is not what the results say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="*", type=Path, help="files of bars.py (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    before = README.read_text()
    after = updated(before, made(args.results))
    if args.check:
        print("up to date" if after == before else "README.md is out of date: run bench/readme.py")
        return int(after != before)
    README.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
