"""The figures of one study in the README.

defines: BLOCK, MAKER, block
"""

from __future__ import annotations

from typing import Any

from bench.figures import wrapped
from examples.report.rows import rows_of, separates

#: What the marks of the block say, as bench.readme writes them.
BLOCK, MAKER = "training", "examples/report"


def block(result: dict[str, Any]) -> str:
    """The question of a study, and the mean of every variant and floor, the best first.

    Then the variants whose worst seed is above the best one of the bag of tokens.
    """
    rows = rows_of(result)
    counts = sorted({len(row.runs) for row in rows if not row.floor})
    seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    figures = ", ".join(f"{row.name} {row.percent}" for row in rows)
    said = f"{result['question']} {result['metric'].capitalize()} in %, {seeds} seeds: {figures}."
    bag = next((row for row in rows if row.variant == "none"), None)
    if higher := [row.name for row in rows if not row.floor and separates(row, bag)]:
        said += f" In every seed above the bag of tokens: {', '.join(higher)}."
    return wrapped(said)
