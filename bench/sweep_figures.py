"""The sweep over random shapes as Markdown, made from what `python -m bench sweep` writes.

defines: sweep_section

Reads JSON and returns Markdown. No figure is typed by hand.
"""

from __future__ import annotations

from typing import Any

from bench.figures import rows_of
from bench.sweep import WORST, Found, worst_first


def sweep_section(content: dict[str, Any]) -> str:
    """The shapes at which ours gains least, and quantiles of all."""
    facts, settings = content["machine"], content["settings"]
    ordered, at = worst_first([Found(**row) for row in content["rows"]])
    lost = sum(each.ratio < 1 for each in ordered)
    least = [
        [
            " x ".join(map(str, each.shape)),
            f"{1e3 * each.ours:.3f}",
            f"{each.ratio:.2f}x",
            each.best,
            each.lanes,
        ]
        for each in ordered[:WORST]
    ]
    task = {"forward": "forward", "both": "forward + backward"}[settings["pass"]]
    return (
        f"{len(ordered)} random shapes of at most {settings['limit']:,} numbers, seed"
        f" {settings['seed']}, {task}, {settings['dtype']}, on {facts['cpu']['name']},"
        f" {facts['threads']} threads,\n{facts['isa']['auto']}, {facts['date'][:10]}: the best"
        f" composition takes {at['median']:.2f}x our time in the median. A tenth lie\nbelow"
        f" {at['a tenth below']:.2f}x, and {lost or 'none'} below 1. The smallest ratios, of first"
        f" quartiles:\n\n"
        + rows_of(["batch x seq x hidden", "ours, ms", "best other", "which", "lanes"], least)
    )
