"""Collects the logs of a study into one JSON object without a path of the machine.

defines: DATA, collect, different, write
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.studies.runs import Run, State
from examples.studies.study import Study
from examples.training.failures import replacing

#: What a result says of the data. Runs of one seed are compared with each other, so their data
#: must be equal.
DATA = ("name", "sha256", "classes", "train", "validation", "test")


def collect(study: Study, runs: Sequence[Run]) -> dict[str, Any]:
    """The result of the finished `runs` of `study`; empty if none is finished.

    Raises:
        ValueError: two runs read other data.
    """
    finished = [run for run in runs if run.state() is State.FINISHED]
    if not finished:
        return {}
    headers = [run.log().last("header") for run in finished]
    data = [{key: header["data"].get(key) for key in DATA} for header in headers]
    seeds = [run.cell.seed for run in finished]
    for seed in set(seeds):
        found = different(d for d, other in zip(data, seeds, strict=True) if other == seed)
        if len(found) > 1:
            raise ValueError(
                f"{study.name}: runs of seed {seed} read different data; move away the folders of"
                f" the old ones: {found}"
            )
    facts = [run.facts() for run in finished]
    return {
        "study": study.name,
        "question": study.question,
        "command": study.command(),
        "metric": study.metric,
        "dates": [min(f["started"] for f in facts), max(f["started"] for f in facts)],
        "machines": different({key: f[key] for key in ("cpu", "cpus", "jobs")} for f in facts),
        "devices": different(h["device"] for h in headers),
        "threads": different(h["threads"] for h in headers),
        "versions": different(h["versions"] for h in headers),
        "data": data[0],
        "floors": _floors(study, headers),
        "seeds": sorted(set(seeds)),
        "runs": [_figures(run) for run in finished],
    }


def different(values: Any) -> list[Any]:
    """The values without repetition, in order."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _floors(study: Study, headers: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """The floors by name; with more than one value where seeds have other test examples."""
    known = [header.get("floors", {}) for header in headers]
    named = {name: [f[key] for f in known if key in f] for key, name in study.floors.items()}
    return {name: different(values) for name, values in named.items() if values}


def _figures(run: Run) -> dict[str, Any]:
    """The figures of one finished run."""
    log, metric = run.log(), run.cell.study.metric
    header, test = log.last("header"), log.last("test")
    return {
        "mixer": run.cell.variant.name,
        "options": run.cell.variant.options,
        "seed": run.cell.seed,
        "data": header["data"]["sha256"],
        metric: test[metric],
        "validation": log.last("validation").get(metric),
        "steps": test["step"],
        "seconds": test["seconds"],
        "clock": header.get("clock", "wall"),
        "tokens": test["tokens"],
        "parameters": header["parameters"],
        "peak_mib": test["peak_bytes"] / 2**20,
        "load": run.facts().get("load"),
        "resumed": sum(record["kind"] == "resumed" for record in log.records),
    }


def write(result: dict[str, Any], path: Path) -> None:
    """Write `result` as JSON; a reader sees the old file or the new one. Ends if it cannot."""
    with replacing(path) as file:
        file.write(f"{json.dumps(result, indent=1)}\n".encode())
