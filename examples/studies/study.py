"""What a study is: one training program, run for each variant of the model and each seed.

defines: Variant, Study, Cell
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Variant:
    """One model of a study: what it is called in tables, and its options."""

    name: str
    options: str
    quadratic: bool = False  # attention in every layer: its time is Study.attention_minutes


@dataclass(frozen=True)
class Study:
    """A row of the table of studies."""

    name: str
    question: str  # in one sentence
    program: str  # the module of examples/ that runs it
    options: str  # common to all runs
    variants: tuple[Variant, ...]
    minutes: float  # expected time of a run on one core
    attention_minutes: float  # the same, with attention in every layer
    seeds: tuple[int, ...] = (0, 1, 2)
    metric: str = "accuracy"  # the key in the record of the test
    #: Floors to show: their keys in the header of a log, and what tables call them.
    floors: Mapping[str, str] = field(default_factory=lambda: {"majority": "majority class"})
    reported: str = ""  # the column of the paper to show beside, see report/paper.py
    remark: str = ""  # for the reader of the table

    def cells(self) -> list[Cell]:
        """All runs, the most informative first: every variant with the first seed, and so on."""
        return [Cell(self, variant, seed) for seed in self.seeds for variant in self.variants]

    def command(self) -> str:
        """The program and the common options, as one types them."""
        return f"python -m examples.{self.program} {self.options}"


@dataclass(frozen=True)
class Cell:
    """One run of a study."""

    study: Study
    variant: Variant
    seed: int

    def __str__(self) -> str:
        return f"{self.study.name}: {self.variant.name}, seed {self.seed}"

    @property
    def minutes(self) -> float:
        """Expected time on one core."""
        study = self.study
        return study.attention_minutes if self.variant.quadratic else study.minutes

    def folder(self, out: Path) -> Path:
        """Where the run writes, below the folder `out` of all studies."""
        return out / self.study.name / f"{self.variant.name}-seed{self.seed}"

    def arguments(self) -> list[str]:
        """The arguments of Python, without those that differ between machines."""
        options = shlex.split(f"{self.study.options} {self.variant.options}")
        return ["-m", f"examples.{self.study.program}", *options, "--seed", str(self.seed)]


def interleaved(studies: list[Study]) -> Iterator[Cell]:
    """The cells of all studies, with the first seed of each study before any second seed."""
    most = max((len(study.seeds) for study in studies), default=0)
    for turn in range(most):
        for study in studies:
            for seed in study.seeds[turn : turn + 1]:
                yield from (Cell(study, variant, seed) for variant in study.variants)
