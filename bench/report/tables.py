"""What was measured, for people (tables) and for programs (CSV, JSON).

defines: tables, absences, save
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bench.contestants.registry import CONTESTANTS, LAYERS, SAME
from bench.measure.study import Row, Study, shapes_of
from bench.shapes import is_awkward
from fnet_kernels._terminal import table

MEANING = (
    "Each cell: median ms, and how many times as long as ours that is (below 1: ours loses, '!').\n"
    "'~': fewer calls than others had, one to three apart from the rounds, for one takes long."
)


def tables(found: Study) -> str:
    """Times by contestant and shape, and a sentence about where ours is not the fastest."""
    awkward = [row for row in found.rows if is_awkward((row.batch, row.seq, row.hidden))]
    regular = [row for row in found.rows if row not in awkward]
    texts = []
    for rows in (regular, awkward):
        for part in ("sublayer", "layer"):
            chosen = [row for row in rows if row.part == part]
            if chosen:
                texts.append(_table(part, chosen))
    return "\n\n".join([*texts, MEANING, _verdict(found.rows)])


def _table(part: str, rows: Sequence[Row]) -> str:
    """Contestants down, shapes across."""
    shapes = shapes_of(rows)
    most = {shape: max(row.rounds for row in rows if row.shape == shape) for shape in shapes}
    cells = {(row.contestant, row.shape): _cell(row, most[row.shape]) for row in rows}
    names = list(dict.fromkeys(row.contestant for row in rows))
    body = [[name, *(cells.get((name, shape), "absent") for shape in shapes)] for name in names]
    return table([part, *shapes], body)


def _cell(row: Row, most: int) -> str:
    once = "~" if row.rounds < most or row.rounds == 1 else ""
    text = f"{once}{_digits(row.median_ms)}"
    if row.over_ours is None:
        return text
    loses = row.role in SAME and row.role != "ours" and row.over_ours < 1
    return f"{text} {row.over_ours:5.2f}x{'!' if loses else ' '}"


def _digits(value: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _verdict(rows: Sequence[Row]) -> str:
    """Per shape, the fastest other way to the same result."""
    lines = []
    for shape in shapes_of(rows):
        rivals = [
            row
            for row in rows
            if row.shape == shape
            and row.part == "sublayer"
            and row.role in SAME
            and row.role != "ours"
            and row.over_ours is not None
        ]
        if rivals:
            best = min(rivals, key=lambda row: row.over_ours or 0)
            assert best.over_ours is not None
            word = "ours is faster" if best.over_ours >= 1 else "OURS LOSES"
            lines.append(f"{shape}: best other is {best.contestant}, {best.over_ours:.2f}x: {word}")
    return "\n".join(lines) or "no shape has both ours and another way to the same result"


def absences(found: Study) -> list[str]:
    """A line for each that was absent, with the reason and, where it matters, the shapes."""
    everywhere = len(shapes_of(found.rows))
    return [
        f"absent: {name}: {reason}"
        + ("" if len(where) >= everywhere else f" ({', '.join(dict.fromkeys(where))})")
        for (name, reason), where in found.absent.items()
    ]


def save(
    found: Study,
    machine: dict[str, Any],
    settings: dict[str, Any],
    out: Path,
) -> list[Path]:
    """Write bench.json and bench.csv (each row with device, processor, threads, date) to `out`."""
    about = {c.name: {"role": c.role, "about": c.about} for c in (*CONTESTANTS, *LAYERS)}
    content = {
        "machine": machine,
        "settings": settings,
        "contestants": about,
        "absent": [
            {"contestant": name, "reason": reason, "shapes": where}
            for (name, reason), where in found.absent.items()
        ],
        "notes": found.notes,
        "rows": [asdict(row) for row in found.rows],
    }
    as_json, as_csv = out / "bench.json", out / "bench.csv"
    as_json.write_text(json.dumps(content, indent=1) + "\n")
    shared = {
        "device": machine["device"],
        "processor": machine["gpu"]["name"] if "gpu" in machine else machine["cpu"]["name"],
        "threads": machine["threads"],
        "isa": machine["isa"]["auto"],
        "torch": machine["versions"]["torch"],
        "fnet_kernels": machine["versions"]["fnet_kernels"],
        "date": machine["date"],
    }
    with as_csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*(f.name for f in fields(Row)), *shared])
        writer.writeheader()
        writer.writerows({**asdict(row), **shared} for row in found.rows)
    return [as_json, as_csv]
