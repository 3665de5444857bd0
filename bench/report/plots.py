"""The plots of the study, as PNG files.

defines: save_plots
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.contestants.registry import SAME
from bench.measure.study import Row, shapes_of
from bench.report.plot_axes import (
    Line,
    draw_lines,
    figure_of,
    label_ends,
    log_ticks,
    shape_ticks,
)
from bench.shapes import is_awkward

_OURS, _ATTENTION, _LINEAR, _FORMULA, _FLOOR = "#1f6fb4", "#c8611a", "#b98a1e", "#222222", "#888888"
_BEST_TORCH = "#7a4fb0"
_ROLES = {
    "ours": _OURS,
    "formula": _FORMULA,
    "composition": _BEST_TORCH,
    "matmul": "#b03a5b",
    "library": "#3c8c5a",
    "attention": _ATTENTION,
    "linear attention": _LINEAR,
    "floor": _FLOOR,
}
_LAYERS = {
    "layer: ours": _OURS,
    "layer: formula": _FORMULA,
    "layer: self-attention": _ATTENTION,
}

Value = Callable[[Row], float | None]


def save_plots(rows: Sequence[Row], heading: str, mine: str, out: Path) -> list[Path]:
    """Draw every plot that `rows` allows into the folder `out`, and return the files.

    `mine` is the only one of our contestants that is drawn. The list is empty if matplotlib is
    missing.
    """
    drawn = [row for row in rows if row.role != "ours" or row.contestant == mine]
    awkward = [row for row in drawn if is_awkward((row.batch, row.seq, row.hidden))]
    regular = [row for row in drawn if row not in awkward] or awkward
    layers = [row for row in drawn if row.part == "layer"]
    files = []
    for name, panels, draw, chosen in (
        ("speedup", 1, _speedup, regular),
        ("attention", 2, _attention, regular),
        ("roofline", 1, _roofline, regular),
        ("layer", 1, _layer, layers),
        ("awkward", 1, _awkward, awkward),
    ):
        if not chosen:
            continue
        made = figure_of(1, panels, f"{heading}; drawn: {mine}")
        if made is None:
            return []
        figure, axes = made
        draw(axes[0], chosen, mine)
        files.append(out / f"bench_{name}.png")
        figure.savefig(files[-1], dpi=120)
    return files


def _line(rows: Sequence[Row], shapes: list[str], name: str, value: Value) -> Line:
    """The line of the contestant `name`."""
    by_shape = {row.shape: row for row in rows if row.contestant == name}
    role = next(iter(by_shape.values())).role if by_shape else "floor"
    here = [by_shape.get(shape) for shape in shapes]
    return Line(name, [value(row) if row else None for row in here], _ROLES[role])


def _fastest(rows: Sequence[Row], name: str, *roles: str) -> list[Row]:
    """The fastest row of these roles per shape, renamed to `name`, with the last role."""
    chosen = [row for row in rows if row.role in roles]
    best = [
        min((row for row in chosen if row.shape == shape), key=lambda row: row.median_ms)
        for shape in shapes_of(chosen)
    ]
    return [replace(row, contestant=name, role=roles[-1]) for row in best]


def _with_best_torch(rows: Sequence[Row]) -> list[Row]:
    """`rows`, and per shape the fastest torch implementation as contestant "best torch"."""
    return [*rows, *_fastest(rows, "best torch", "formula", "composition")]


def _bold(rows: Sequence[Row], line: Line, low: Value, high: Value) -> Line:
    """`line` in bold, with a band between its quartiles."""
    shapes = shapes_of(rows)
    ends = [_line(rows, shapes, line.name, value).values for value in (low, high)]
    return replace(line, bold=True, low=ends[0], high=ends[1])


def _speedup(panels: Any, rows: Sequence[Row], mine: str, *, joined: bool = True) -> None:
    """Speed-up over each alternative, with fftn and the best of torch in bold."""
    axes = panels[0]
    shapes = shapes_of(rows)
    rivals = [r for r in rows if r.part == "sublayer" and r.role in SAME and r.role != "ours"]
    rivals = _with_best_torch(rivals)
    lines = []
    for name in dict.fromkeys(row.contestant for row in rivals):
        line = _line(rivals, shapes, name, lambda row: row.over_ours)
        if name in ("best torch", "fftn"):
            line = _bold(_on_all_shapes(rivals, rows), line, _first_quartile, _third_quartile)
        lines.append(replace(line, joined=joined))
    lines.sort(key=lambda line: line.bold)
    draw_lines(axes, lines)
    shape_ticks(axes, shapes)
    log_ticks(axes, base=2, unit="x")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.5), max(high, 2.0))
    axes.axhspan(axes.get_ylim()[0], 1, color="#f6dcdc", zorder=0)
    axes.axhline(1, color="#aa3333", linewidth=1)
    axes.text(0.01, 0.01, "ours is slower", transform=axes.transAxes, color="#aa3333", fontsize=9)
    axes.set_ylabel(f"speed-up of {mine} [baseline's time / ours], bands: quartiles")
    axes.set_title("Mixing sublayer: how many times faster than each baseline")
    label_ends(axes, lines, log=True)


def _on_all_shapes(rivals: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """`rivals` and rows of all other shapes, so that positions on the axis agree."""
    known = {row.shape for row in rivals}
    return [*rivals, *(row for row in rows if row.shape not in known)]


def _first_quartile(row: Row) -> float | None:
    return row.over_ours_q1


def _third_quartile(row: Row) -> float | None:
    return row.over_ours_q3


def _awkward(panels: Any, rows: Sequence[Row], mine: str) -> None:
    """Speed-up for prime, ragged and tiny shapes, as markers without lines."""
    _speedup(panels, rows, mine, joined=False)
    panels[0].set_title("Awkward shapes: prime and ragged lengths, tiny calls")
    panels[0].set_xlabel("sequence length [tokens] of each shape; below it batch x seq x hidden")
    panels[0].set_ylabel(f"speed-up of {mine} [baseline's time / ours], medians")


def _attention(panels: Any, rows: Sequence[Row], mine: str) -> None:
    """Time and peak memory of mixing and of attention with its fastest kernel."""
    names = [mine, "fftn", "self-attention", "linear attention"]
    others = [r for r in rows if r.part == "sublayer" and r.role != "attention"]
    chosen = [*others, *_fastest(rows, "self-attention", "attention")]
    shapes = shapes_of(rows)
    times: Value = lambda row: row.median_ms  # noqa: E731
    # A tiny call may measure zero, or less if the process frees memory at the same time.
    memory: Value = lambda row: row.peak_mib if (row.peak_mib or 0) > 0 else None  # noqa: E731
    for axes, value in zip(panels, (times, memory), strict=True):
        lines = [_line(chosen, shapes, name, value) for name in names]
        if value is times:
            everywhere = _on_all_shapes(chosen, rows)
            lines = [_bold(everywhere, a, lambda r: r.q1_ms, lambda r: r.q3_ms) for a in lines]
        lines = [replace(line, bold=True) for line in lines]
        draw_lines(axes, lines)
        shape_ticks(axes, shapes)
        log_ticks(axes, base=10)
        label_ends(axes, lines, log=True)
    panels[0].set_ylabel("time per call [ms], median; bands: quartiles")
    panels[0].set_title("Mixing sublayer against self-attention: time")
    panels[1].set_ylabel("peak memory of a call, including the result [MiB]")
    panels[1].set_title("The same: peak memory")
    if not panels[1].lines:
        panels[1].text(0.5, 0.5, "not measured", transform=panels[1].transAxes, ha="center")


def _roofline(panels: Any, rows: Sequence[Row], mine: str) -> None:
    """Speed as a fraction of the speed of a copy of x."""
    axes = panels[0]
    shapes = shapes_of(rows)
    names = [mine, "best torch", "fftn", "FFTW", "CuPy", "layer_norm(x + x)"]
    every = _with_best_torch([r for r in rows if r.part == "sublayer"])
    lines = [_line(every, shapes, name, lambda row: row.copy_fraction) for name in names]
    lines = [replace(line, bold=True) for line in lines if line.points]
    draw_lines(axes, lines)
    shape_ticks(axes, shapes)
    axes.axhline(1, color=_FLOOR, linewidth=1)
    axes.set_ylim(0, max([1.05, *(1.05 * v for line in lines for _, v in line.points)]))
    axes.set_ylabel("fraction of a copy's speed [time of out.copy_(x) / time]")
    axes.set_title("Roofline: 1 is a copy of x into allocated memory")
    label_ends(axes, lines, log=False)
    others = {row.contestant for row in every} - {*names, "copy", "copy by a kernel"}
    text = f"{len(others)} other contestants, such as matrix products, are in bench.csv"
    axes.text(0.0, -0.16, text, transform=axes.transAxes, fontsize=7.5, color="#555555")


def _layer(panels: Any, rows: Sequence[Row], mine: str) -> None:
    """Time of the encoder layer with each mixing, over the layer without mixing."""
    axes = panels[0]
    shapes = shapes_of(rows)
    floors = {r.shape: r.median_ms for r in rows if r.contestant == "layer: no mixing"}
    width = 0.84 / len(_LAYERS)
    for i, (name, colour) in enumerate(_LAYERS.items()):
        mids = {r.shape: r for r in rows if r.contestant == name}
        at = [(g, mids[s]) for g, s in enumerate(shapes) if s in mids and s in floors]
        where = [g + (i - (len(_LAYERS) - 1) / 2) * width for g, _ in at]
        height = [r.median_ms / floors[r.shape] for _, r in at]
        label = name.removeprefix("layer: ")
        bars = axes.bar(where, height, width * 0.94, color=colour, label=label)
        axes.bar_label(bars, [f"{h:.2f}" for h in height], fontsize=7.5, padding=2)
    shape_ticks(axes, shapes)
    axes.axhline(1, color=_FLOOR, linewidth=1)
    axes.margins(y=0.1)
    axes.set_ylabel("time per encoder layer [times that of the layer without mixing], medians")
    axes.set_title("The encoder layer by its mixing; 1: the feed-forward half alone")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
