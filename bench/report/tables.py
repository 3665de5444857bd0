"""The results as text tables, CSV and JSON.

defines: tables, absences, absence_lines, save
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bench.contestants.registry import CONTESTANTS, LAYERS, SAME
from bench.measure.study import Row, Study, shapes_of
from bench.shapes import is_awkward
from bench.written import write, write_json
from fnet_kernels._terminal import table

MEANING = (
    "Each cell: median ms, and the ratio to our time (below 1 ours is slower, marked '!').\n"
    "'~': a slow contestant, called one to three times outside the rounds."
)


def tables(found: Study) -> str:
    """Times by contestant and shape, and the fastest alternative at each shape."""
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
    """A table with a row per contestant and a column per shape."""
    shapes = shapes_of(rows)
    cells = {(row.contestant, row.shape): _cell(row) for row in rows}
    names = list(dict.fromkeys(row.contestant for row in rows))
    body = [[name, *(cells.get((name, shape), "absent") for shape in shapes)] for name in names]
    return table([part, *shapes], body)


def _cell(row: Row) -> str:
    text = f"{'' if row.in_rounds else '~'}{_digits(row.median_ms)}"
    if row.over_ours is None:
        return text
    slower = row.role in SAME and row.role != "ours" and row.over_ours < 1
    return f"{text} {row.over_ours:5.2f}x{'!' if slower else ' '}"


def _digits(value: float) -> str:
    """Three significant digits without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _verdict(rows: Sequence[Row]) -> str:
    """The fastest alternative per shape."""
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
            word = "ours is faster" if best.over_ours >= 1 else "OURS IS SLOWER"
            lines.append(f"{shape}: best other is {best.contestant}, {best.over_ours:.2f}x: {word}")
    return "\n".join(lines) or "no shape has times of both ours and an alternative"


def absences(found: Study) -> list[str]:
    """A line per absent contestant with the reason, and the shapes if it ran at others."""
    everywhere = len(shapes_of(found.rows))
    return [
        f"absent: {name}: {reason}"
        + ("" if len(where) >= everywhere else f" ({', '.join(dict.fromkeys(where))})")
        for (name, reason), where in found.absent.items()
    ]


def absence_lines(absent: Mapping[str, str]) -> str:
    """A line for each name with its reason."""
    return "".join(f"absent: {name}: {why}\n" for name, why in absent.items())


def save(
    found: Study,
    machine: dict[str, Any],
    settings: dict[str, Any],
    out: Path,
) -> list[Path]:
    """Write bench.json and bench.csv to `out` and return the files.

    Each CSV row also contains device, processor, threads, versions and date.
    """
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
    write_json(as_json, content)
    shared = {
        "device": machine["device"],
        "processor": machine["gpu"]["name"] if "gpu" in machine else machine["cpu"]["name"],
        "threads": machine["threads"],
        "isa": machine["isa"]["auto"],
        "torch": machine["versions"]["torch"],
        "fnet_kernels": machine["versions"]["fnet_kernels"],
        "date": machine["date"],
    }
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, [*(f.name for f in fields(Row)), *shared])
    writer.writeheader()
    writer.writerows({**asdict(row), **shared} for row in found.rows)
    write(as_csv, file.getvalue())
    return [as_json, as_csv]
