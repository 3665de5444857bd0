"""Lines over sequence lengths, labelled at their right ends, and readable ticks.

defines: Line, figure_of, draw_lines, label_ends, log_ticks, shape_ticks
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LENGTH = "sequence length [tokens]; below it batch x seq x hidden"
_MIN_GAP = 0.036  # between two labels, as a fraction of the axis height


@dataclass(frozen=True)
class Line:
    """The values of a contestant by shape, in axis order; None if a value is missing."""

    name: str
    values: Sequence[float | None]
    colour: str
    bold: bool = False
    low: Sequence[float | None] = ()  # quartiles, drawn as a band
    high: Sequence[float | None] = ()
    joined: bool = True  # false for unordered shapes: markers only

    @property
    def points(self) -> list[tuple[int, float]]:
        """(position, value) of each value that exists."""
        return [(at, v) for at, v in enumerate(self.values) if v is not None]


def figure_of(rows: int, columns: int, heading: str) -> tuple[Any, Any] | None:
    """A figure and its axes, [rows, columns], or None if matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(7.6 * columns + 2.2, 6.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)  # needs no display and no global state
    figure.suptitle(heading, fontsize=10)
    return figure, figure.subplots(rows, columns, squeeze=False)


def draw_lines(axes: Any, lines: Sequence[Line]) -> None:
    """Draw bold lines with bands in front and the others faded. Call before `label_ends`."""
    for line in lines:
        if not line.points:
            continue
        where, height = zip(*line.points, strict=True)
        style: dict[str, Any] = {"color": line.colour, "marker": "o"}
        style |= {"linewidth": 2.4, "markersize": 6, "zorder": 3} if line.bold else {}
        style |= {} if line.bold else {"linewidth": 1.1, "markersize": 3.5, "alpha": 0.45}
        axes.plot(where, height, linestyle="-" if line.joined else "none", **style)
        at = [i for i, _ in line.points]
        if line.low and line.joined and all(line.low[i] is not None for i in at):
            low, high = [line.low[i] for i in at], [line.high[i] for i in at]
            axes.fill_between(where, low, high, color=line.colour, alpha=0.2, linewidth=0)


def label_ends(axes: Any, lines: Sequence[Line], *, log: bool) -> None:
    """Write the name of each line beside its last point, without overlaps."""
    low, high = axes.get_ylim()

    def height(value: float) -> float:
        part = math.log(value / low, high / low) if log else (value - low) / (high - low)
        return float(part)

    ends = sorted(((height(line.points[-1][1]), line) for line in lines if line.points), key=_first)
    placed: list[float] = []
    for at, _ in ends:
        placed.append(max(at, placed[-1] + _MIN_GAP) if placed else at)
    over = max(0.0, placed[-1] - 1.0) if placed else 0.0
    for i in reversed(range(len(placed))):  # move labels below the top, keeping the gaps
        ceiling = placed[i + 1] - _MIN_GAP if i + 1 < len(placed) else 1.0
        placed[i] = min(placed[i], ceiling) if over else placed[i]
    left, right = axes.get_xlim()
    for y, (at, line) in zip(placed, ends, strict=True):
        x = (line.points[-1][0] - left) / (right - left)
        axes.annotate(
            line.name,
            (x, at),
            (1.015, y),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=line.colour,
            alpha=1.0 if line.bold else 0.75,
            fontsize=9 if line.bold else 7.5,
            fontweight="bold" if line.bold else "normal",
            va="center",
            arrowprops={"arrowstyle": "-", "color": line.colour, "alpha": 0.25, "linewidth": 0.7},
        )


def _first(pair: tuple[float, Line]) -> float:
    return pair[0]


def log_ticks(axes: Any, *, base: int, unit: str = "") -> None:
    """A logarithmic y axis with margins and labelled ticks: powers of two for base 2, else 1, 2 and
    5 times powers of ten."""
    drawn = [v for line in axes.lines for v in line.get_ydata() if v > 0]
    if not drawn:
        return
    low, high = min(drawn) / 1.25, max(drawn) * 1.25
    axes.set_yscale("log", base=base)
    if base == 2:
        powers = range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)
        ticks = [2.0**p for p in powers]
    else:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [m * 10.0**p for p in powers for m in (1, 2, 5)]
    below = max((t for t in ticks if t <= low), default=low)
    above = min((t for t in ticks if t >= high), default=high)
    axes.set_ylim(below, above)
    shown = [t for t in ticks if below <= t <= above]
    axes.set_yticks(shown, [f"{t:g}{unit}" for t in shown])
    axes.set_yticks([], minor=True)


def shape_ticks(axes: Any, shapes: Sequence[str]) -> None:
    """Place the shapes at equal distances, a logarithmic axis if the lengths double."""
    names = [f"{shape.split('x')[1]}\n{shape}" for shape in shapes]
    axes.set_xticks(range(len(shapes)), names, fontsize=8 if len(shapes) < 7 else 7)
    axes.set_xlim(-0.5, len(shapes) - 0.5)
    axes.set_xlabel(_LENGTH)
    axes.yaxis.grid(True, color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
