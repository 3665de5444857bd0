"""The times of encoder layers by mixer as Markdown, made from what `python -m bench mixers` writes.

defines: mixer_section

Every function reads JSON and returns Markdown. No figure is typed by hand.
"""

from __future__ import annotations

from typing import Any

from bench.figures import rows_of, wrapped
from bench.recorded import cpu_name, in_rounds, when
from bench.report.mixers import TASKS


def mixer_section(content: dict[str, Any]) -> str:
    """A table for each task: the median times of the mixers by shape, in ms."""
    facts, rows = content["machine"], content["rows"]
    taken = (
        f"{cpu_name(facts)}, {facts['threads']} threads, {content['settings']['dtype']},"
        f" {when(facts)}"
    )
    parts = []
    for direction, task in TASKS.items():
        chosen = [row for row in rows if row["direction"] == direction]
        shapes = list(dict.fromkeys(row["shape"] for row in chosen))
        cells = {(row["contestant"], row["shape"]): _cell(row) for row in chosen}
        body = [
            [f"`{name}`", *(cells.get((name, shape), "") for shape in shapes)]
            for name in dict.fromkeys(row["contestant"] for row in chosen)
        ]
        parts.append(
            wrapped(f"{task.capitalize()} on {taken}: median in ms.")
            + f"\n{_spread(chosen)}.\n\n"
            + rows_of(["mixer", *(shape.replace("x", " x ") for shape in shapes)], body)
        )
    return "\n\n".join(parts)


def _cell(row: dict[str, Any]) -> str:
    """The median; with "~" where the mixer ran outside the rounds."""
    return f"{'' if in_rounds(row) else '~'}{row['median_ms']:.0f}"


def _spread(rows: list[dict[str, Any]]) -> str:
    """How far the quartiles lie apart: smaller differences separate no mixers."""
    timed = [row for row in rows if row["rounds"] > 1]
    apart = sorted((row["q3_ms"] - row["q1_ms"]) / row["median_ms"] for row in timed)
    wide = apart[int(0.9 * (len(apart) - 1))]
    fewest = min(row["rounds"] for row in timed)
    return (
        f"In nine cells of ten the quartiles, of at least {fewest} calls, are at most"
        f" {100 * wide:.0f} % apart"
    )
