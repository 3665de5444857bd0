"""Results from earlier machines, in examples/results: their runs need not be done again.

defines: LOCK, read, has, merge
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.studies.collect import different
from examples.studies.folders import OUT
from examples.studies.study import Cell, Study

#: Held from the reading of a kept result to its writing, as several runners may add to it. Not
#: beside the results, where git would see it.
LOCK = OUT / ".lock"
#: What a result lists without repetition.
_LISTS = ("machines", "devices", "threads", "versions")


def read(study: Study, folder: Path) -> dict[str, Any]:
    """The result of `study` in `folder`; empty if there is none, or one that cannot be continued.

    That is one of another command, or of runs that do not say which data they read.
    """
    path = folder / f"{study.name}.json"
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    same = result.get("command") == study.command()
    return result if same and all("data" in run for run in result["runs"]) else {}


def has(result: Mapping[str, Any], cell: Cell) -> bool:
    """Whether `result` has the run of this cell, with its options."""
    return _key(cell) in map(_key_of, result.get("runs", ()))


def merge(study: Study, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """One result with the runs of both, in the order of the study; those of `new` win.

    Raises:
        ValueError: the two have runs of one seed that read different data.
    """
    if not old or not new:
        return dict(new or old)
    runs = {_key_of(run): run for run in (*old["runs"], *new["runs"])}
    kept = [runs[key] for key in map(_key, study.cells()) if key in runs]
    data: dict[int, str] = {}
    for run in kept:
        if data.setdefault(run["seed"], run["data"]) != run["data"]:
            raise ValueError(
                f"{study.name}: the kept result and the new runs of seed {run['seed']} read"
                f" different data, {data[run['seed']]} and {run['data']}; remove the kept one"
            )
    lists = {name: different((*old[name], *new[name])) for name in _LISTS}
    names = dict.fromkeys((*old["floors"], *new["floors"]))
    floors = {
        name: different((*old["floors"].get(name, ()), *new["floors"].get(name, ())))
        for name in names
    }
    dates = sorted((*old["dates"], *new["dates"]))
    return {
        **new,
        **lists,
        "dates": [dates[0], dates[-1]],
        "floors": floors,
        "seeds": sorted({run["seed"] for run in kept}),
        "runs": kept,
    }


def _key(cell: Cell) -> tuple[str, str, int]:
    return cell.variant.name, cell.variant.options, cell.seed


def _key_of(run: Mapping[str, Any]) -> tuple[str, str, int]:
    return run["mixer"], run["options"], run["seed"]
