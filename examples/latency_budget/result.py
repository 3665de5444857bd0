"""What a result says beside its figures, and how two results become one.

defines: command, conditions, is_complete, with_kept
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.measure.machine import describe


def command(words: Sequence[str]) -> str:
    """The command without the options that name folders of this machine."""
    shown, skip = ["python", "-m", "examples.latency_budget"], False
    for word in words:
        if not (skip or word == "--keep" or word.startswith("--out")):
            shown.append(word)
        skip = word == "--out"
    return shlex.join(shown)


def conditions(args: argparse.Namespace) -> dict[str, Any]:
    """Where, when and with what latencies are measured."""
    facts = describe(args.device)
    return {
        "machine": {"cpu": facts["cpu"]["name"], "cpus": facts["cpus"]},
        "device": facts["gpu"]["name"] if "gpu" in facts else "cpu",
        "threads": args.threads,
        "versions": facts["versions"],
        "date": facts["date"],
    }


def is_complete(part: dict[str, Any]) -> bool:
    """Whether every model of a length, and its floor, has the accuracies of all seeds."""
    return all(
        len(values) == len(part["seeds"])
        for model in (*part["models"], part["bag_of_tokens"])
        for values in model["accuracy"].values()
    )


def with_kept(path: Path, new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lengths of the result in `path` and those of `new`, the short first.

    So several machines can share the study, a length each. A new length takes the place of the old
    one if it is complete.
    """
    old = json.loads(path.read_text())["lengths"] if path.exists() else []
    by_length = {part["seq"]: part for part in old}
    for part in new:
        if part["seq"] not in by_length or is_complete(part):
            by_length[part["seq"]] = part
    return [by_length[seq] for seq in sorted(by_length)]
