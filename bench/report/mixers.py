"""The tables and the plot of the mixers.

defines: TASKS, mixer_tables, save_plot
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.measure.study import Row, shapes_of
from bench.report.plot_axes import (
    Line,
    draw_lines,
    figure_of,
    label_ends,
    log_ticks,
    shape_ticks,
)
from fnet_kernels._terminal import table

#: What each direction of a study is called.
TASKS = {"forward": "inference", "both": "training step"}
_BOLD = {"fourier": "#1f6fb4", "attention": "#c8611a"}
_COLOURS = ("#3c8c5a", "#b03a5b", "#7a4fb0", "#b98a1e", "#222222", "#3a9aa8", "#8a5a3c")
_MEANING = (
    "Quartiles are of the rounds. x fourier: this time over that of fourier, round by round.\n"
    "'~': a slow mixer, called one to three times outside the rounds."
)


def mixer_tables(rows: Sequence[Row], learned: Sequence[dict[str, Any]]) -> str:
    """A table for each shape and task. `learned` holds mixer, shape and parameters."""
    counts = {(entry["mixer"], entry["shape"]): entry["parameters"] for entry in learned}
    texts = []
    for shape in shapes_of(rows):
        for direction, task in TASKS.items():
            chosen = [r for r in rows if (r.shape, r.direction) == (shape, direction)]
            if not chosen:
                continue
            header = [f"{shape}, {task}", "ms", "quartiles ms", "x fourier", "peak MiB"]
            body = [[*_cells(row), f"{counts[row.contestant, shape]:,}"] for row in chosen]
            texts.append(table([*header, "parameters"], body))
    return "\n\n".join([*texts, _MEANING])


def _cells(row: Row) -> list[str]:
    return [
        row.contestant,
        f"{'' if row.in_rounds else '~'}{row.median_ms:.3g}",
        f"{row.q1_ms:.3g} to {row.q3_ms:.3g}",
        "" if row.over_ours is None else f"{row.over_ours:.2f}",
        "" if row.peak_mib is None else f"{row.peak_mib:.0f}",
    ]


def save_plot(rows: Sequence[Row], heading: str, file: Path) -> Path | None:
    """Draw time and peak memory over the length, a row for each task.

    Returns None if matplotlib is missing.
    """
    shapes = shapes_of(rows)
    directions = [d for d in TASKS if any(row.direction == d for row in rows)]
    if not directions or (made := figure_of(len(directions), 2, heading)) is None:
        return None
    figure, panels = made
    names = list(dict.fromkeys(row.contestant for row in rows))
    for direction, pair in zip(directions, panels, strict=True):
        chosen = [row for row in rows if row.direction == direction]
        for axes, what, value in (
            (pair[0], "time per call [ms], median; bands: quartiles", _median),
            (pair[1], "peak memory of a call, including the result [MiB]", _peak),
        ):
            lines = [_line(chosen, shapes, name, n, value) for n, name in enumerate(names)]
            lines.sort(key=lambda line: line.bold)
            draw_lines(axes, lines)
            shape_ticks(axes, shapes)
            log_ticks(axes, base=10)
            label_ends(axes, lines, log=True)
            axes.set_ylabel(what)
            axes.set_title(f"One encoder layer by its mixer: {TASKS[direction]}")
    figure.savefig(file, dpi=120)
    return file


def _median(row: Row) -> float | None:
    return row.median_ms


def _peak(row: Row) -> float | None:
    # A tiny call may measure zero, or less if the process frees memory at the same time.
    return row.peak_mib if (row.peak_mib or 0) > 0 else None


def _line(
    rows: Sequence[Row],
    shapes: list[str],
    name: str,
    number: int,
    value: Callable[[Row], float | None],
) -> Line:
    by_shape = {row.shape: row for row in rows if row.contestant == name}
    here = [by_shape.get(shape) for shape in shapes]
    colour = _BOLD.get(name, _COLOURS[number % len(_COLOURS)])
    line = Line(name, [value(r) if r else None for r in here], colour, bold=name in _BOLD)
    if value is not _median or name not in _BOLD:
        return line
    low, high = [r.q1_ms if r else None for r in here], [r.q3_ms if r else None for r in here]
    return replace(line, low=low, high=high)
