"""The tables and the plot of times by sequence length.

defines: grouped, least, length_tables, save_plot
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.plot_axes import figure_of, log_ticks
from fnet_kernels import explain
from fnet_kernels._terminal import table

if TYPE_CHECKING:
    from bench.lengths import LengthRow

_WORST = 10
_KINDS = {"radices": "#1f6fb4", "Rader": "#c8611a", "Bluestein": "#b03a5b"}


def _stages(seq: int) -> str:
    return explain((1, seq, 1)).seq_stages


def _kind(seq: int) -> str:
    """The costliest algorithm among the stages of a length."""
    stages = _stages(seq)
    return next((name for name in ("Bluestein", "Rader") if name in stages), "radices")


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % p for p in range(2, int(n**0.5) + 1))


def _over_smooth(rows: Sequence[LengthRow], smooth: Sequence[LengthRow]) -> dict[int, float]:
    """By length: its time per element over that of the nearest length in `smooth`."""

    def nearest(seq: int) -> float:
        return min(smooth, key=lambda row: abs(row.seq - seq)).ours

    return {row.seq: row.ours / nearest(row.seq) for row in rows} if smooth else {}


def grouped(
    rows: Sequence[LengthRow], group: Callable[[int], str], names: Sequence[str]
) -> list[tuple[str, int, list[float]]]:
    """By group of lengths, of which the first is the smooth one: how many there are, and medians.

    These are ns per element, our time over that at the nearest smooth length, and the times of the
    formula and of the best eager composition over ours.
    """
    over = _over_smooth(rows, [row for row in rows if group(row.seq) == names[0]])
    found = []
    for name in names:
        chosen = [row for row in rows if group(row.seq) == name]
        if not chosen:
            continue
        ratios = [
            [row.ours for row in chosen],
            [over.get(row.seq, float("nan")) for row in chosen],
            [row.formula / row.ours for row in chosen],
            [row.rival_time / row.ours for row in chosen],
        ]
        found.append((name, len(chosen), [statistics.median(of) for of in ratios]))
    return found


def least(rows: Sequence[LengthRow]) -> list[LengthRow]:
    """The rows by what ours gains over the best eager composition, least first."""
    return sorted(rows, key=lambda row: row.rival_time / row.ours)


def length_tables(rows: Sequence[LengthRow]) -> str:
    """A line for each kind of length, then the lengths at which ours gains least."""
    header = ["lengths of", "count", "ns per element", "over smooth", "formula", "best eager"]
    body = [
        [kind, str(count), *(f"{median:.2f}" for median in medians)]
        for kind, count, medians in grouped(rows, _kind, list(_KINDS))
    ]
    worst = [
        [
            f"{row.batch}x{row.seq}",
            f"{row.ours:.2f}",
            f"{row.ours_quartiles[0]:.2f} to {row.ours_quartiles[1]:.2f}",
            f"{row.rival_time / row.ours:.2f}",
            row.rival,
            _stages(row.seq),
        ]
        for row in least(rows)[:_WORST]
    ]
    return (
        f"{table(header, body)}\n\n"
        "Medians over lengths. formula, best eager: the time of the formula and of the best eager\n"
        "torch over ours. over smooth: ours over ours at the nearest length of radices alone.\n\n"
        "The lengths at which ours gains least:\n"
        + table(["batch x seq", "ns", "quartiles", "gain", "over", "stages"], worst)
    )


def save_plot(rows: Sequence[LengthRow], heading: str, file: Path) -> Path | None:
    """Draw time per element over the length. Returns None if matplotlib is missing."""
    made = figure_of(1, 1, heading)
    if made is None:
        return None
    figure, panels = made
    axes = panels[0, 0]
    axes.plot(
        [row.seq for row in rows],
        [row.rival_time for row in rows],
        ".",
        color="#888888",
        markersize=3,
        label="fastest of torch",
    )
    for kind, colour in _KINDS.items():
        for prime, marker, size in ((False, "o", 3), (True, "^", 5)):
            chosen = [row for row in rows if _kind(row.seq) == kind and _is_prime(row.seq) == prime]
            if chosen:
                axes.plot(
                    [row.seq for row in chosen],
                    [row.ours for row in chosen],
                    marker,
                    color=colour,
                    markersize=size,
                    label=f"ours, {kind}{', prime' if prime else ''}",
                )
    log_ticks(axes, base=10)
    axes.set_xlabel("sequence length [tokens]")
    axes.set_ylabel("time per element [ns], median")
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=120)
    return file
