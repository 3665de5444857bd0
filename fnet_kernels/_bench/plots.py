"""The plots of the study, as PNG files. Axes are named with units; shapes that lose are shown.

defines: save_plots
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fnet_kernels._bench.contestants import SAME
from fnet_kernels._bench.study import Row, shapes_of

_OURS, _ATTENTION, _LINEAR, _FORMULA, _FLOOR = "#1f6fb4", "#c8611a", "#e0a03c", "#222222", "#999999"
_ROLES = {
    "ours": _OURS,
    "formula": _FORMULA,
    "composition": "#7a4fb0",
    "matmul": "#b03a5b",
    "library": "#3c8c5a",
    "attention": _ATTENTION,
    "layer": _OURS,
    "floor": _FLOOR,
}
_LAYERS = {
    "layer: formula": _FORMULA,
    "layer: self-attention": _ATTENTION,
    "layer: ours": _OURS,
    "layer: no mixing": _FLOOR,
}
_STYLES = ["-", "--", "-.", ":"]
_MARKS = "osD^vPX*"
_LENGTH = "sequence length [tokens]; below it batch x seq x hidden"

Value = Callable[[Row], float | None]


def save_plots(rows: Sequence[Row], heading: str, mine: str, out: Path) -> list[Path]:
    """Draw what there are rows for into `out`; `mine` is our contestant at its best.

    Returns the files; none where matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return []
    files = []
    for name, panels, draw in (
        ("speedup", 1, _speedup),
        ("attention", 2, _attention),
        ("roofline", 1, _roofline),
        ("layer", 1, _layer),
    ):
        figure = Figure(figsize=(7.5 * panels + 2.5, 6.2), layout="constrained")
        FigureCanvasAgg(figure)  # a canvas of its own: no display, no global state
        figure.suptitle(heading, fontsize=10)
        draw(figure.subplots(1, panels, squeeze=False)[0], rows, mine)
        files.append(out / f"bench_{name}.png")
        figure.savefig(files[-1], dpi=120)
    return files


def _speedup(panels: Any, rows: Sequence[Row], mine: str) -> None:
    """Ours against every other way to the same result."""
    axes = panels[0]
    rivals = [r for r in rows if r.part == "sublayer" and r.role in SAME and r.role != "ours"]
    _lines(axes, rivals, lambda row: row.over_ours, shapes_of(rows))
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.5), max(high, 2.0))
    axes.axhspan(axes.get_ylim()[0], 1, color="#f6dcdc", zorder=0)
    axes.axhline(1, color="#aa3333", linewidth=1)
    axes.text(0.01, 0.01, "ours is slower", transform=axes.transAxes, color="#aa3333", fontsize=9)
    axes.set_ylabel(f"speed-up of {mine} [baseline's time / ours]")
    axes.set_title("Mixing sublayer: how many times faster than each baseline")


def _attention(panels: Any, rows: Sequence[Row], mine: str) -> None:
    """Mixing and attention: time, and peak memory."""
    chosen = [
        r
        for r in rows
        if r.part == "sublayer" and (r.role == "attention" or r.contestant in (mine, "fftn"))
    ]
    shapes = shapes_of(rows)
    _lines(panels[0], chosen, lambda row: row.median_ms, shapes, spread=True)
    panels[0].set_ylabel("time per call [ms], median and quartiles")
    panels[0].set_title("Mixing sublayer against self-attention: time")
    _lines(panels[1], chosen, lambda row: row.peak_mib or None, shapes)
    panels[1].set_ylabel("peak memory of a call, its result included [MiB]")
    panels[1].set_title("The same: peak memory")
    for axes in panels:
        if axes.lines:
            axes.set_yscale("log", subs=[])
            axes.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _roofline(panels: Any, rows: Sequence[Row], mine: str) -> None:
    """Speed as a fraction of a copy of x."""
    axes = panels[0]
    chosen = [r for r in rows if r.part == "sublayer" and r.role != "matmul"]
    _lines(axes, chosen, lambda row: row.copy_fraction, shapes_of(rows))
    axes.axhline(1, color=_FLOOR, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("fraction of a copy's speed [time of y = x.clone() / time]")
    axes.set_title("Roofline: a copy reads x and writes y once, and is at 1")


def _layer(panels: Any, rows: Sequence[Row], mine: str) -> None:
    """The encoder layer by what mixes its tokens, bars per length."""
    axes = panels[0]
    layers = [r for r in rows if r.part == "layer"]
    shapes = shapes_of(rows)
    width = 0.84 / len(_LAYERS)
    for i, (name, colour) in enumerate(_LAYERS.items()):
        mids = {r.shape: r for r in layers if r.contestant == name}
        at = [(g + (i - 1.5) * width, mids[s]) for g, s in enumerate(shapes) if s in mids]
        where, height = [x for x, _ in at], [r.median_ms for _, r in at]
        axes.bar(where, height, width * 0.94, color=colour, label=name.removeprefix("layer: "))
        spread = [
            [r.median_ms - r.q1_ms for _, r in at],
            [r.q3_ms - r.median_ms for _, r in at],
        ]
        axes.errorbar(where, height, yerr=spread, fmt="none", ecolor="#333333", elinewidth=1)
    _ticks(axes, shapes)
    axes.set_ylabel("time per encoder layer [ms], median and quartiles")
    axes.set_title("The encoder layer by its mixing, feed-forward half included")
    axes.legend(frameon=False, fontsize=9)


def _lines(
    axes: Any, rows: Sequence[Row], value: Value, shapes: list[str], *, spread: bool = False
) -> None:
    """A line per contestant over the shapes; where it has no value, none is drawn."""
    seen: dict[str, int] = {}
    for i, name in enumerate(dict.fromkeys(row.contestant for row in rows)):
        mine = {row.shape: row for row in rows if row.contestant == name}
        pairs = [(g, mine[s], value(mine[s])) for g, s in enumerate(shapes) if s in mine]
        points = [(g, row, v) for g, row, v in pairs if v is not None]
        if not points:
            continue
        role = points[0][1].role
        nth = seen[role] = seen.get(role, -1) + 1
        where, height = [g for g, _, _ in points], [v for _, _, v in points]
        colour = _LINEAR if name == "linear attention" else _ROLES[role]
        axes.plot(
            where,
            height,
            _STYLES[nth % len(_STYLES)],
            marker=_MARKS[i % len(_MARKS)],
            markersize=5,
            color=colour,
            linewidth=2.2 if role == "ours" else 1.4,
            label=name,
        )
        if spread:
            low = [row.q1_ms for _, row, _ in points]
            axes.fill_between(where, low, [r.q3_ms for _, r, _ in points], color=colour, alpha=0.15)
    _ticks(axes, shapes)
    if seen:
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    else:
        axes.text(0.5, 0.5, "not measured here", transform=axes.transAxes, ha="center")


def _ticks(axes: Any, shapes: list[str]) -> None:
    """Lengths stand at equal distances; where they double, that is a logarithmic axis."""
    names = [f"{shape.split('x')[1]}\n{shape}" for shape in shapes]
    axes.set_xticks(range(len(shapes)), names, fontsize=8 if len(shapes) < 7 else 7)
    axes.set_xlim(-0.6, len(shapes) - 0.4)
    axes.set_xlabel(_LENGTH)
    axes.yaxis.grid(True, color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
