"""Trains the models of a length for equal time and for equal steps, as two small studies.

defines: Plan
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.latency_budget.sizes import Size
from examples.studies.collect import DATA
from examples.studies.runs import Run, State
from examples.studies.study import Study, Variant


@dataclass(frozen=True)
class Plan:
    """What is trained at one length: the Transformer first, then the FNets and the floor."""

    sizes: tuple[Size, ...]
    seq: int
    data: str
    minutes: float
    batch: int
    seeds: tuple[int, ...]
    out: Path

    def equal_time(self) -> list[Run]:
        """Runs of every model for `minutes`."""
        return self._runs("time", f"--minutes {self.minutes:g}", self.sizes)

    def equal_steps(self) -> list[Run]:
        """Runs of the others for the steps of the Transformer of their seed, where it has ended.

        The Transformer's own runs are those of `equal_time`.
        """
        return [
            run
            for seed, steps in self.steps().items()
            for run in self._runs("steps", f"--steps {steps}", self.sizes[1:])
            if run.cell.seed == seed
        ]

    def steps(self) -> dict[int, int]:
        """The steps that the Transformer of each seed took in the time, where it has ended."""
        name = _name(self.sizes[0])
        runs = [run for run in self.equal_time() if run.cell.variant.name == name]
        ended = [run for run in runs if run.state() is State.FINISHED]
        return {run.cell.seed: run.log().last("test")["step"] for run in ended}

    def figures(self, size: Size) -> dict[str, dict[str, list[float]]]:
        """Accuracy and seconds of training of a model's finished runs, by the way of training."""
        runs = {"time": self.equal_time(), "steps": self.equal_steps()}
        if size == self.sizes[0]:
            runs["steps"] = runs["time"]
        tests = {regime: _tests(found, size) for regime, found in runs.items()}
        return {
            figure: {regime: [test[figure] for test in found] for regime, found in tests.items()}
            for figure in ("accuracy", "seconds")
        }

    def data_read(self) -> dict[str, Any]:
        """Name, hash and counts of the data that the first finished run read; empty before it."""
        read = self._header().get("data")
        return {key: read.get(key) for key in DATA} if read else {}

    def majority(self) -> float | None:
        """The accuracy of the most frequent class; None before the first run."""
        floor: float | None = self._header().get("floors", {}).get("majority")
        return floor

    def clock(self) -> str | None:
        """What measured the time of training: "processor" or "wall"; None before the first run."""
        clock: str | None = self._header().get("clock")
        return clock

    def _header(self) -> dict[str, Any]:
        """The header of the first run that has one; all runs read the same data."""
        headers = (run.log().last("header") for run in self.equal_time())
        return next(filter(None, headers), {})

    def _runs(self, regime: str, budget: str, sizes: Sequence[Size]) -> list[Run]:
        study = Study(
            name=f"latency-budget-{self.seq}-{regime}",
            question="",
            program="classify",
            options=f"--data {shlex.quote(self.data)} --units bytes --seq {self.seq}"
            f" --batch {self.batch} --lr 1e-3"
            f" --attention-dropout 0 {budget}",  # flash attention on CPUs
            variants=tuple(Variant(_name(size), size.options()) for size in sizes),
            minutes=self.minutes,
            attention_minutes=self.minutes,
            seeds=self.seeds,
        )
        return [Run(cell, self.out) for cell in study.cells()]


def _name(size: Size) -> str:
    return f"{size.mixer}-{size.layers}x{size.hidden}"


def _tests(runs: Sequence[Run], size: Size) -> list[dict[str, Any]]:
    mine = (run for run in runs if run.cell.variant.name == _name(size))
    return [run.log().last("test") for run in mine if run.state() is State.FINISHED]
