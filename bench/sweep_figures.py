"""The sweep over random shapes as Markdown, made from what `python -m bench sweep` writes.

defines: sweep_section

Reads JSON and returns Markdown. No figure is typed by hand.
"""

from __future__ import annotations

from typing import Any

from bench.figures import rows_of, wrapped
from bench.recorded import cpu_name
from bench.sweep import HEADS, WORST, Found, cells, worst_first


def sweep_section(content: dict[str, Any]) -> str:
    """The shapes at which ours gains least, and quantiles of all."""
    facts, settings = content["machine"], content["settings"]
    ordered, at = worst_first([Found(**row) for row in content["rows"]])
    lost = sum(each.ratio < 1 for each in ordered)
    rows = ((shape.replace("x", " x "), *rest) for shape, *rest in map(cells, ordered[:WORST]))
    task = {"forward": "forward", "both": "forward + backward"}[settings["pass"]]
    said = (
        f"{len(ordered)} random shapes of at most {settings['limit']:,} elements, seed"
        f" {settings['seed']}, {task}, {settings['dtype']}, on {cpu_name(facts)},"
        f" {facts['threads']} threads, {facts['isa']['auto']}, {facts['date'][:10]}: the median"
        f" ratio of the best composition's time to ours is {at['median']:.2f}x. A tenth of the"
        f" shapes lie below {at['a tenth below']:.2f}x, and {lost or 'none'} below 1. The smallest"
        " ratios, of first quartiles:"
    )
    return f"{wrapped(said)}\n\n{rows_of(HEADS, rows)}"
