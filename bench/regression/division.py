"""The gate on how a call divides over many cores: rounds and busy share on simulated cores.

defines: CASES, SLACK, Case, recorded, record, is_as_good

Both are nearly independent of the machine: rounds follow from the plan, and the busy share compares
times of one run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cores import Division
from bench.shapes import Shape, label
from bench.written import write_json

REFERENCE = Path(__file__).parent / "division.json"
#: A busy share below this part of the recorded one fails.
SLACK = 0.75
REPEATS = 7


@dataclass(frozen=True)
class Case:
    """A shape (batch, seq, hidden), the number of cores, and the pass."""

    shape: Shape
    cores: int
    direction: str = "forward"

    def __str__(self) -> str:
        return f"{label(self.shape)} {self.direction} on {self.cores}"


CASES = [
    Case((1, 512, 768), 64),
    Case((8, 512, 768), 64),
    Case((8, 512, 768), 64, "backward"),
    Case((32, 512, 768), 64),
    Case((64, 512, 768), 64),
    Case((2, 4096, 768), 16),
    Case((2, 4096, 768), 64),
]


def recorded(isa: str, case: Case, path: Path = REFERENCE) -> dict[str, Any] | None:
    """The recorded rounds and busy share, or None without a record."""
    found: dict[str, Any] | None = json.loads(path.read_text()).get(isa, {}).get(str(case))
    return found


def record(found: dict[tuple[str, str], Division], path: Path = REFERENCE) -> None:
    """Write rounds and busy shares, {(isa, case): division}, over the old records."""
    content = json.loads(path.read_text()) if path.exists() else {}
    for (isa, case), one in found.items():
        content.setdefault(isa, {})[case] = {"rounds": one.rounds, "busy": round(one.busy, 3)}
    write_json(path, content)


def is_as_good(found: Division, reference: dict[str, Any]) -> bool:
    """Whether the call needs no more rounds than recorded, and the cores are about as busy."""
    return bool(
        found.rounds <= reference["rounds"] and found.busy >= SLACK * float(reference["busy"])
    )
