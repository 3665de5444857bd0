"""The section of docs/results.md on the latency budget.

defines: REGIMES, budget_section, above_floors, columns, pareto, verdicts
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from bench.figures import rows_of as table
from bench.figures import span, wrapped
from examples.report.rows import CLOCKS

_HEAD = """\
## Latency budget

What is the largest FNet within the latency of a small Transformer, and how accurate is it? The
largest FNet is the one with the most parameters in its layers, among all depths and widths tried,
whose median latency is at most the Transformer's at every batch size. All models are trained for
the same time, and for the number of steps that the Transformer takes in that time. The bag of
tokens is a floor: the FNet of equal shape without its mixer. Latency, tokens/s and peak memory are
those of forward passes; tokens/s and memory at the largest batch."""
_NONE_ABOVE = "no model is above the bag of tokens"
#: What the two ways of training are called.
REGIMES = {"time": "equal time", "steps": "equal steps"}


def budget_section(result: dict[str, Any] | None, plot: str) -> str:
    """The section; `plot` is the file of the plot, relative to docs/, or empty."""
    if not result:
        return f"{_HEAD}\n\nNot yet measured: `python -m examples.latency_budget`."
    parts = [_HEAD]
    for part in result["lengths"]:
        parts += [
            f"### {part['seq']:,} tokens",
            table(*columns(part)),
            wrapped(" ".join([*verdicts(part), *above_floors(part)])),
            wrapped(_conditions(part)),
        ]
    if plot:
        parts.append(f"![Accuracy over latency, with the Pareto front]({plot})")
    return "\n\n".join(parts)


def _conditions(part: dict[str, Any]) -> str:
    """Where, when and on what data the runs of a length were made."""
    machine, threads, jobs, read = (part[key] for key in ("machine", "threads", "jobs", "data"))
    data = f" data {read['name']}, SHA-256 `{read['sha256'][:12]}`;" if read else ""
    steps = part.get("steps")
    taken = f", {span(steps, 0)} steps of the Transformer" if steps else ""
    clock = f" of {CLOCKS.get(part['clock'], part['clock'])} time" if part.get("clock") else ""
    return (
        f"`{part['command']}`;{data} {machine['cpu']}, {machine['cpus']} CPUs,"
        f" {part['device']}; training for {part['minutes']:g} minutes{clock}{taken},"
        f" {jobs} run{'s' * (jobs != 1)} at a time; latency with {threads}"
        f" thread{'s' * (threads != 1)}, medians of interleaved rounds, quartiles in brackets;"
        f" torch {part['versions']['torch']}; {part['date'][:10]}."
    )


def columns(part: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the table of a length."""
    batches = list(part["models"][0]["latency"])
    heads = ["model", "layers x width", "parameters"]
    heads += [f"ms, batch {batch}" for batch in batches]
    heads += ["tokens/s", "peak MiB", *(f"{name}: accuracy, %" for name in REGIMES.values())]
    body = []
    for model in part["models"]:
        cells = [model["name"], f"{model['layers']} x {model['hidden']}"]
        cells.append(f"{model['parameters']:,}")
        for batch in batches:
            low, middle, high = model["latency"][batch]
            cells.append(f"{middle:.1f} ({low:.1f} to {high:.1f})")
        cells.append(f"{model['tokens_per_second']:,.0f}")
        cells.append("" if model["peak_mib"] is None else f"{model['peak_mib']:.0f}")
        cells += [_accuracy(model["accuracy"].get(regime, [])) for regime in REGIMES]
        body.append(cells)
    floors: dict[str, list[str]] = {}
    if bag := part.get("bag_of_tokens"):
        floors["bag of tokens"] = [_accuracy(bag["accuracy"].get(regime, [])) for regime in REGIMES]
    constant = dict(part.get("floors", {}))
    if (majority := part.get("majority")) is not None:
        constant["majority class"] = [majority]
    floors |= {name: [_accuracy(values)] * len(REGIMES) for name, values in constant.items()}
    for name, cells in floors.items():
        body.append([f"*{name}*", *[""] * (len(heads) - 1 - len(cells)), *cells])
    return heads, body


def _accuracy(values: Sequence[float]) -> str:
    if not values:
        return "not yet"
    figure = f"{100 * mean(values):.1f}"
    return figure if len(values) == 1 else f"{figure} ({span((100 * v for v in values), 1)})"


def verdicts(part: dict[str, Any]) -> list[str]:
    """For each way of training, who wins by the ranges: the Transformer or each FNet."""
    transformer, *others = part["models"]
    said = []
    for regime, name in REGIMES.items():
        theirs = transformer["accuracy"].get(regime, [])
        for model in others:
            ours = model["accuracy"].get(regime, [])
            if len(theirs) < 2 or len(ours) < 2:
                continue
            if min(theirs) > max(ours):
                found = f"the Transformer beats the {model['name']}"
            elif min(ours) > max(theirs):
                found = f"the {model['name']} beats the Transformer"
            else:
                found = f"the {model['name']} and the Transformer do not separate"
            said.append(f"At {name}, {found}.")
    return said or ["Too few seeds to compare."]


def above_floors(part: dict[str, Any]) -> list[str]:
    """For each way of training, which models the ranges separate from the floors."""
    said = []
    for regime, name in REGIMES.items():
        ranges = {
            model["name"]: values
            for model in part["models"]
            if len(values := model["accuracy"].get(regime, [])) > 1
        }
        bag = part.get("bag_of_tokens", {}).get("accuracy", {}).get(regime, [])
        if ranges and len(bag) > 1:
            above = [model for model, values in ranges.items() if min(values) > max(bag)]
            told = f"above the bag of tokens: {_listed(above)}" if above else _NONE_ABOVE
            said.append(f"At {name}, {told}.")
        majority = part.get("majority") or 0
        low = [model for model, values in ranges.items() if min(values) <= majority]
        if low:
            said.append(f"At {name}, not above the majority class: {_listed(low)}.")
    return said


def _listed(models: Sequence[str]) -> str:
    return " and ".join(f"the {model}" for model in models)


def pareto(part: dict[str, Any], regime: str) -> list[tuple[float, float]]:
    """The models that no other one beats in both latency and accuracy, by increasing latency.

    Args:
        part: the figures of a length.
        regime: one way of training; accuracies of two ways do not compare.

    Returns:
        Latency at the first batch size in ms, median, and mean accuracy.
    """
    points = [
        (next(iter(model["latency"].values()))[1], mean(values))
        for model in part["models"]
        if (values := model["accuracy"].get(regime))
    ]
    best: list[tuple[float, float]] = []
    for latency, accuracy in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or accuracy > best[-1][1]:
            best.append((latency, accuracy))
    return best
