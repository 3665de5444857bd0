"""Short runs of classify on small tables.

defines: losses, words
"""

from __future__ import annotations

from pathlib import Path

from examples.training import log

SMALL = "--hidden 32 --intermediate 64 --seq 16 --batch 16 --threads 1 --log-every 1 --lr 0.005"


def words(data: Path, out: Path, more: str = "--steps 20") -> list[str]:
    return ["--data", str(data), "--out", str(out), *SMALL.split(), *more.split()]


def losses(out: Path) -> list[float]:
    """The loss of each step, without those that a resumed run repeated."""
    return [one["loss"] for one in log.records(out) if one["kind"] == "step"]
