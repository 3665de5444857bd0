"""What a result says beside its figures, and how two results become one.

defines: command, conditions, with_kept
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.measure.machine import describe


def command(words: Sequence[str]) -> str:
    """The command without the options that name folders of this machine."""
    shown, skip = ["python -m examples.latency_budget"], False
    for word in words:
        if not (skip or word == "--keep" or word.startswith("--out")):
            shown.append(word)
        skip = word == "--out"
    return " ".join(shown)


def conditions(args: argparse.Namespace) -> dict[str, Any]:
    """Where and how the lengths of one call were measured."""
    facts = describe(args.device)
    return {
        "machine": {"cpu": facts["cpu"]["name"], "cpus": facts["cpus"]},
        "device": facts["gpu"]["name"] if "gpu" in facts else "cpu",
        "threads": args.threads,
        "versions": facts["versions"],
        "date": facts["date"],
        "jobs": args.jobs,
        "minutes": args.minutes,
        "seeds": args.seeds,
    }


def with_kept(path: Path, new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lengths `new`, and those of the result in `path` that it does not have, the short first.

    So several machines can share the study, a length each.
    """
    old = json.loads(path.read_text())["lengths"] if path.exists() else []
    by_length = {part["seq"]: part for part in (*old, *new)}
    return [by_length[seq] for seq in sorted(by_length)]
