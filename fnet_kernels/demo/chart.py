"""The demo's chart: times of the sublayers and of the model, per length, as a PNG.

defines: COLOURS, save_chart
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fnet_kernels._timing import Timing
from fnet_kernels.demo import measure as names
from fnet_kernels.demo.measure import Measured

#: By contestant, of a sublayer or of a model.
COLOURS = {
    names.STOCK: "#8c8c8c",
    names.PATCHED: "#1f6fb4",
    names.PATCHED_BF16: "#7fb8e6",
    names.ATTENTION: "#c8611a",
    names.ATTENTION_BF16: "#eeb182",
    names.BERT: "#c8611a",
    names.BERT_BF16: "#eeb182",
}


def save_chart(results: Sequence[Measured], heading: str, path: Path) -> bool:
    """Draw `results` into `path`. Returns False, drawing nothing, where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(14, 5.6), layout="constrained")
    FigureCanvasAgg(figure)  # a canvas of its own: no display, no global state
    figure.suptitle(heading, fontsize=11)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    shapes = [result.shape for result in results]
    _panel(
        left,
        "One sublayer: FNet mixing, stock and patched; BERT self-attention",
        shapes,
        [result.sublayer for result in results],
    )
    _panel(
        right,
        "Whole model, forward: FNet, stock and patched; BERT",
        shapes,
        [result.model for result in results],
    )
    figure.savefig(path, dpi=130)
    return True


def _panel(axes: Any, title: str, shapes: list[str], groups: list[dict[str, Timing]]) -> None:
    """Bars per length, one for each contestant: median, with quartiles as whiskers."""
    contestants = list(groups[0])
    width = 0.84 / len(contestants)
    for i, name in enumerate(contestants):
        low, middle, high = zip(*(_milliseconds(group[name]) for group in groups), strict=True)
        where = [g + (i - (len(contestants) - 1) / 2) * width for g in range(len(groups))]
        below = [m - q for m, q in zip(middle, low, strict=True)]
        above = [q - m for m, q in zip(middle, high, strict=True)]
        axes.bar(where, middle, width * 0.94, color=COLOURS[name], label=name)
        whisker = {"fmt": "none", "ecolor": "#333333", "elinewidth": 1, "capsize": 2}
        axes.errorbar(where, middle, yerr=[below, above], **whisker)
        for x, m, top in zip(where, middle, high, strict=True):
            axes.annotate(
                _digits(m), (x, top), (0, 3), textcoords="offset points", ha="center", fontsize=8
            )
    axes.set_title(title, fontsize=11)
    axes.set_xticks(range(len(shapes)), shapes)
    axes.set_xlabel("sequences x tokens per sequence")
    axes.set_ylabel("time per call [ms], median and quartiles")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.12)
    axes.yaxis.grid(True, color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def _digits(value: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _milliseconds(timing: Timing) -> tuple[float, float, float]:
    low, middle, high = timing.quartiles
    return 1e3 * low, 1e3 * middle, 1e3 * high
