"""The rows of a study's table, and which of them their ranges separate.

defines: CLOCKS, Row, rows_of, above, separates, groups, separation
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

#: What the page calls the clocks of the runs.
CLOCKS = {"processor": "CPU"}
#: How tables call "none", which sees no order and no neighbours.
_NAMES = {"none": "none (bag of tokens)"}


@dataclass(frozen=True)
class Row:
    """The figures of a variant over the seeds, or a floor, whose values are exact."""

    variant: str
    values: tuple[float, ...]  # of the metric, from 0 to 1
    runs: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The variant as tables call it."""
        return _NAMES.get(self.variant, self.variant)

    @property
    def cell(self) -> str:
        """The name in a table, in italics for a floor."""
        return f"*{self.name}*" if self.floor else self.name

    @property
    def floor(self) -> bool:
        """No run: a constant answer."""
        return not self.runs

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def percent(self) -> str:
        """The mean as tables show it."""
        return f"{100 * self.mean:.1f}"

    @property
    def compared(self) -> bool:
        """One seed has no range."""
        return self.floor or len(self.values) > 1

    @property
    def seconds(self) -> float:
        """The median time of training."""
        return float(median(run["seconds"] for run in self.runs))

    @property
    def tokens_per_second(self) -> float:
        """The median over the runs, without padding."""
        return float(median(run["tokens"] / run["seconds"] for run in self.runs))

    @property
    def steady(self) -> bool:
        """Whether the times of the runs are within a factor of two."""
        seconds = [run["seconds"] for run in self.runs]
        return self.floor or max(seconds) <= 2 * min(seconds)

    def average(self, key: str) -> float:
        """The mean of another figure of the runs."""
        return float(mean(run[key] for run in self.runs))


def rows_of(result: dict[str, Any]) -> list[Row]:
    """The rows of a result of `examples.studies`, floors included, the best first."""
    metric = result["metric"]
    rows = [Row(name, tuple(values)) for name, values in result["floors"].items()]
    for name in dict.fromkeys(run["mixer"] for run in result["runs"]):
        runs = tuple(run for run in result["runs"] if run["mixer"] == name)
        rows.append(Row(name, tuple(run[metric] for run in runs), runs))
    return sorted(rows, key=lambda row: -row.mean)


def above(one: Row, other: Row) -> bool:
    """Whether every value of one row is above every value of the other."""
    return min(one.values) > max(other.values)


def separates(row: Row, base: Row | None) -> bool:
    """Whether `row` is above `base` by their ranges, if both have one."""
    return base is not None and base.compared and row.compared and above(row, base)


def groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Split `rows`, the best first, wherever all values above exceed all values below."""
    found: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: -max(row.values)):
        if found and max(row.values) >= min(min(r.values) for r in found[-1]):
            found[-1].append(row)
        else:
            found.append([row])
    return [sorted(group, key=lambda row: -row.mean) for group in found]


def separation(rows: Sequence[Row], bases: Sequence[str] = ("fourier", "none")) -> str:
    """What the ranges separate, in a line: groups, the best first, then pairs with each of `bases`.

    A group is joined by overlaps, so two of its rows may separate. Rows of one seed are named
    apart.
    """
    compared = [row for row in rows if row.compared]
    runs = [row for row in compared if not row.floor]
    said = []
    if len(runs) > 1:
        chain = "; above ".join(", ".join(row.name for row in group) for group in groups(compared))
        said.append(f"By the ranges: {chain}.")
    else:
        said.append("No two mixers have a range yet.")
    for base in bases:
        mine = next((row for row in runs if row.variant == base), None)
        said += [_against(mine, compared)] if mine and len(runs) > 1 else []
    single = [row.name for row in rows if not row.compared]
    if single:
        said.append(f"Of one seed, not compared: {', '.join(single)}.")
    return " ".join(said)


def _against(mine: Row, rows: Sequence[Row]) -> str:
    """Which rows the ranges put above one of them, which below it, and which neither."""
    others = [row for row in rows if row is not mine]
    sides = {
        "above": [row for row in others if above(row, mine)],
        "no separation": [row for row in others if not (above(row, mine) or above(mine, row))],
        "below": [row for row in others if above(mine, row)],
    }
    told = [f"{side}: {', '.join(r.name for r in found)}" for side, found in sides.items() if found]
    return f"Compared with {mine.name}, {'; '.join(told)}."
