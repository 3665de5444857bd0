"""All committed results of one machine, read from bench/results.

defines: Machine, REUSED, cpu_name, in_rounds, when
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.measure.core_latency import share_a_cache
from bench.measure.cores import enough
from bench.measure.machine import is_busy
from bench.measure.timing import SELDOM
from bench.targets.target import Target
from bench.targets.values import FORMULA

#: Suffix of shapes that were timed while malloc kept freed memory.
REUSED = " (reused pages)"


def cpu_name(facts: dict[str, Any]) -> str:
    """Processor name, family and model, of the machine that `facts` describe."""
    cpu = facts["cpu"]
    name = str(cpu["name"]).replace("(R)", "")
    return f"{name} (family {cpu['family']}, model {cpu['model']})" if "family" in cpu else name


def when(facts: dict[str, Any]) -> str:
    """The date, and a remark if the machine may have done other work."""
    date = str(facts["date"])[:10]
    if not is_busy(facts):
        return date
    if facts.get("others_at_start") is None:
        return f"{date}, load average {facts['load_at_start'][0]:.1f} at the start"
    return f"{date}, beside other programs"


def in_rounds(row: dict[str, Any]) -> bool:
    """Whether a contestant was timed in the rounds of the others. Old records do not say it."""
    return bool(row.get("in_rounds", row["rounds"] > SELDOM))


class Machine:
    """All committed results of one machine."""

    def __init__(
        self,
        targets: dict[str, Any],
        sweep: dict[str, Any] | None = None,
        models: dict[str, Any] | None = None,
    ) -> None:
        self.facts = targets["machine"]
        self.results: list[dict[str, Any]] = targets["targets"]
        self.times: dict[str, Any] = targets.get("times", {})
        self.cores: dict[str, float] = targets.get("cores", {})
        self.latencies: dict[str, list[int | None]] = targets.get("core_to_core_ns", {})
        self.memory: dict[str, dict[str, float]] = targets.get("memory", {})
        nothing: dict[str, Any] = {"machine": self.facts, "rows": []}
        self.sweep = sweep or nothing
        self.models = models or nothing
        self.isas = list(dict.fromkeys(v["isa"] for v in self.results))
        shapes = dict.fromkeys(v["shape"] for v in self.results if v["target"] == FORMULA.name)
        self.shapes = [shape for shape in shapes if not shape.endswith(REUSED)]

    @classmethod
    def read(cls, path: Path) -> Machine:
        """Read <cpu>-targets.json, the forward sweep and whole models beside it, if they exist."""
        slug = path.name.removesuffix("-targets.json")

        def read(name: str) -> dict[str, Any] | None:
            file = path.parent / f"{slug}-{name}"
            return json.loads(file.read_text()) if file.exists() else None

        return cls(
            json.loads(path.read_text()), read("fp32-forward/bench.json"), read("models.json")
        )

    @property
    def name(self) -> str:
        """Processor name, family and model."""
        return cpu_name(self.facts)

    @property
    def disturbed(self) -> list[str]:
        """The comparisons of the targets that did not have two cores with a common cache."""
        return [
            what
            for what, available in self.cores.items()
            if not enough(available, 2) or not all(map(share_a_cache, self.latencies.get(what, [])))
        ]

    def of(self, target: Target, isa: str | None = None) -> list[dict[str, Any]]:
        """The results for `target` on one instruction set, or on all if `isa` is None."""
        found = [v for v in self.results if v["target"] == target.name]
        return [v for v in found if isa in (None, v["isa"])]

    def one(self, target: Target, shape: str, isa: str) -> dict[str, Any]:
        """The result for `target` at one shape on one instruction set."""
        found = [v for v in self.of(target, isa) if v["shape"] == shape]
        if len(found) != 1:
            raise ValueError(
                f"expected one result for {target.name} at {shape} on {isa}, got {len(found)}"
            )
        return found[0]

    def ratios(self, target: Target) -> list[float]:
        """The measured ratios on the best instruction set, by shape."""
        return [self.one(target, shape, self.isas[0])["measured"] for shape in self.shapes]

    def milliseconds(self, shape: str, isa: str) -> float | None:
        """Median time of our float32 forward pass, or None if it was not measured."""
        times = self.times.get(f"forward fp32 {shape}", {}).get(f"ours {isa}")
        return times and float(times["median_ms"])

    def model(self, name: str, dtype: str, task: str = "inference") -> dict[str, Any] | None:
        """The row of one whole model of size Base."""
        key = (name, "Base", dtype, task)
        rows = (
            r for r in self.models["rows"] if (r["model"], r["size"], r["dtype"], r["task"]) == key
        )
        return next(rows, None)
