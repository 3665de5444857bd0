"""The sweeps over random shapes as Markdown, made from what `python -m bench sweep` writes.

defines: sweep_section

Reads JSON and returns Markdown. No figure is typed by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.figures import rows_of, wrapped
from bench.recorded import cpu_name, when
from bench.shapes import label
from bench.sweep import HEADS, WORST, Found, cells, worst_first

_TASKS = {"forward": "forward", "both": "forward + backward"}
_RUNS = ["processor", "pass", "dtype", "shapes", "median", "a tenth below", "below 1", "smallest"]


def _found(content: dict[str, Any]) -> list[Found]:
    return [Found(**row) for row in content["rows"]]


def _machine(content: dict[str, Any]) -> str:
    facts = content["machine"]
    return f"{cpu_name(facts)}, {facts['isa']['auto']}"


def _common(content: dict[str, Any]) -> tuple[int, int, int]:
    """Limit, seed and threads."""
    settings = content["settings"]
    return settings["limit"], settings["seed"], content["machine"]["threads"]


def _run(content: dict[str, Any]) -> list[str]:
    """The row of a sweep with `_RUNS`."""
    settings = content["settings"]
    ordered, at = worst_first(_found(content))
    lost = sum(each.ratio < 1 for each in ordered)
    smallest = f"{at['smallest']:.2f}x at {label(ordered[0].shape)}"
    ratios = (f"{at[name]:.2f}x" for name in ("median", "a tenth below"))
    task = _TASKS[settings["pass"]]
    words = (_machine(content), task, settings["dtype"], str(len(ordered)))
    return [*words, *ratios, str(lost or "none"), smallest]


def _worst(content: dict[str, Any]) -> str:
    """The shapes at which ours gains least."""
    ordered, _ = worst_first(_found(content))
    rows = ((shape.replace("x", " x "), *rest) for shape, *rest in map(cells, ordered[:WORST]))
    return rows_of(HEADS, rows)


def sweep_section(contents: Sequence[dict[str, Any]]) -> str:
    """Quantiles of every sweep, and the smallest ratios of those forward in float32.

    Raises:
        ValueError: the sweeps differ in seed, limit or threads, which stand above the table.
    """
    if not contents:
        return ""
    if len(common := set(map(_common, contents))) > 1:
        raise ValueError(f"expected sweeps of one limit, seed and threads; got {sorted(common)}")
    limit, seed, threads = common.pop()
    said = (
        "The best composition's time over ours, first quartiles. Random shapes of at most"
        f" {limit:,} elements, seed {seed}, {threads} threads:"
    )
    parts = [wrapped(said), rows_of(_RUNS, map(_run, contents))]
    for content in contents:
        if (content["settings"]["dtype"], content["settings"]["pass"]) == ("fp32", "forward"):
            date = when(content["machine"])
            where = f"The smallest, forward in float32, on {_machine(content)}, {date}:"
            parts += [wrapped(where), _worst(content)]
    return "\n\n".join(parts)
