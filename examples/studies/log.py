"""Reads the log of a training run, log.jsonl: one JSON object a line, the header first.

defines: Log, read
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def read(path: Path) -> Log:
    """The log in the file `path`; without records if the file does not exist.

    An incomplete last line is left out: the run was killed while it wrote.

    Raises:
        ValueError: another line is not a record.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    records: list[Record] = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or "kind" not in record:
                raise ValueError("no kind")
            records.append(record)
        except ValueError:
            if number < len(lines):
                raise ValueError(f"{path}, line {number}: expected a record of a run") from None
    return Log(records)
