"""The plots of docs/results.md: accuracy over mixers, and accuracy over latency.

defines: plot_mixers, plot_budget
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from bench.report.plot_axes import figure_of
from examples.report.budget import REGIMES, pareto
from examples.report.rows import rows_of

_MODELS = ("#c8611a", "#1f6fb4", "#3c8c5a")
_FLOOR = "#888888"
#: By variant; the others have the last colour.
_MIXERS = {"attention": _MODELS[0], "fourier": _MODELS[1], "fourier-paper": _MODELS[1]}
_MIXERS |= {"hybrid": _MODELS[2], "none": _FLOOR}
_OTHER = "#444444"


def plot_mixers(result: dict[str, Any], path: Path) -> bool:
    """Draw mean and range of each mixer, and the floors as lines. False without matplotlib."""
    made = figure_of(1, 1, f"{result['study']}: {result['question']}")
    if made is None:
        return False
    figure, (axes, *_) = made[0], made[1][0]
    rows = rows_of(result)[::-1]
    runs = [row for row in rows if not row.floor]
    for at, row in enumerate(runs):
        values = [100 * value for value in row.values]
        colour = _MIXERS.get(row.variant, _OTHER)
        axes.plot([min(values), max(values)], [at, at], color=colour, linewidth=5, alpha=0.35)
        axes.plot(values, [at] * len(values), "|", color=colour, markersize=11)
        axes.plot([100 * row.mean], [at], "o", color=colour)
        axes.annotate(
            row.percent,
            (max(values), at),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    for row in rows:
        if row.floor:
            axes.axvline(100 * row.mean, color=_FLOOR, linestyle=":")
            axes.text(100 * row.mean, len(runs) - 0.4, f" {row.name}", color=_FLOOR, fontsize=9)
    axes.set_yticks(range(len(runs)), [row.name for row in runs])
    axes.set_ylim(-0.6, len(runs) - 0.1)
    axes.margins(x=0.1)
    axes.set_xlabel(f"{result['metric']} on the test split [%]: mean, seeds and their range")
    axes.xaxis.grid(True, color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    figure.set_size_inches(8, 1.6 + 0.42 * len(runs))
    figure.savefig(path, dpi=120)
    return True


def plot_budget(result: dict[str, Any], path: Path) -> bool:
    """Draw accuracy over latency at batch 1, a panel per length. False without matplotlib."""
    parts = result["lengths"]
    heading = "Accuracy over latency: filled, solid: equal time; hollow, dashed: equal steps"
    made = figure_of(1, len(parts), heading)
    if made is None:
        return False
    figure, panels = made[0], made[1][0]
    for axes, part in zip(panels, parts, strict=True):
        for model, colour in zip(part["models"], _MODELS, strict=False):
            batch, latency = next(iter(model["latency"].items()))
            for regime in REGIMES:
                values = [100 * value for value in model["accuracy"].get(regime, [])]
                if not values:
                    continue
                # A ring around the point of the other regime shows where they coincide.
                face, size = (colour, 6) if regime == "time" else ("none", 11)
                axes.plot([latency[1]] * 2, [min(values), max(values)], color=colour, alpha=0.5)
                axes.plot([latency[0], latency[2]], [mean(values)] * 2, color=colour, alpha=0.5)
                axes.plot(
                    [latency[1]],
                    [mean(values)],
                    "o",
                    color=colour,
                    markerfacecolor=face,
                    markersize=size,
                    label=model["name"] if regime == "time" else None,
                )
        for regime, dashes in zip(REGIMES, ("-", "--"), strict=True):
            if line := pareto(part, regime):
                times, accuracies = zip(*line, strict=True)
                percent = [100 * value for value in accuracies]
                axes.plot(times, percent, dashes, color=_FLOOR, linewidth=1, zorder=0)
        _draw_floors(axes, part)
        axes.set_title(f"{part['seq']:,} tokens")
        axes.set_xlabel(f"latency, batch {batch} [ms], median and quartiles")
        axes.set_ylabel("accuracy on the test split [%], mean and range")
        axes.margins(0.15)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    figure.set_size_inches(1 + 4.8 * len(parts), 4.4)
    figure.savefig(path, dpi=120)
    return True


def _draw_floors(axes: Any, part: dict[str, Any]) -> None:
    """Dotted lines at the bag of tokens, trained for equal time, and at the majority class."""
    bag = part.get("bag_of_tokens", {}).get("accuracy", {}).get("time", [])
    floors = {"bag of tokens": mean(bag) if bag else None, "majority class": part.get("majority")}
    for name, value in floors.items():
        if value is not None:
            axes.axhline(100 * value, color=_FLOOR, linestyle=":", linewidth=1, zorder=0)
            place = (0.99, 100 * value)
            axes.annotate(
                name,
                place,
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                color=_FLOOR,
                fontsize=8,
            )
