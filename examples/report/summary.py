"""All studies of mixers in one table.

defines: summary
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.figures import rows_of as table
from bench.figures import wrapped
from examples.report.rows import Row, rows_of, separates
from examples.studies.study import Study
from examples.studies.table import MIXERS

_KEY = (
    "Mean accuracy in %, empty where a mixer was not run. Bold: every seed is above every seed of"
    " the bag of tokens. Compare within a column."
)


def summary(studies: Sequence[Study], results: Mapping[str, dict[str, Any]]) -> str:
    """The section: a row per mixer and floor, a column per study; empty if nothing is measured."""
    found = {
        study.name: {row.variant: row for row in rows_of(results[study.name])}
        for study in studies
        if study.name in results and any(variant.name == "fourier" for variant in study.variants)
    }
    if not found:
        return ""
    floors = (row.variant for rows in found.values() for row in rows.values() if row.floor)
    body = []
    for variant in dict.fromkeys((*MIXERS, *floors)):
        row = [rows.get(variant) for rows in found.values()]
        if any(row):
            body.append([next(filter(None, row)).cell, *map(_cell, row, found.values())])
    timed = [s.name for s in studies if s.name in found and "--minutes" in s.options]
    equal = f" Equal time: {', '.join(timed)}; the others have equal steps." if timed else ""
    return "\n\n".join(["## All mixers", table(["mixer", *found], body), wrapped(_KEY + equal)])


def _cell(row: Row | None, rows: Mapping[str, Row]) -> str:
    if row is None:
        return ""
    return f"**{row.percent}**" if separates(row, rows.get("none")) else row.percent
