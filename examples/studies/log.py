"""The log of a training run, for those who read it.

defines: Log, read
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.training.log import records

Record = dict[str, Any]


@dataclass(frozen=True)
class Log:
    """The records of a run, in order."""

    records: list[Record]

    def last(self, kind: str) -> Record:
        """The last record of this kind; empty if none exists."""
        return next((r for r in reversed(self.records) if r["kind"] == kind), {})

    @property
    def finished(self) -> bool:
        """A run reads the test split once, as its last act."""
        return bool(self.last("test"))


def read(folder: Path) -> Log:
    """The log in the folder of a run; without records if there is none.

    Raises:
        ValueError: a line is not a record.
    """
    return Log(records(folder))
