"""What bench.gpu has measured: parts of the work, times, absences, bars; on disk after every part.

defines: Report, merge, fastest, COPIES
"""

from __future__ import annotations

import datetime
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

import fnet_kernels
from bench.gpu.device import Device
from bench.targets.target import Target, text
from fnet_kernels._terminal import table
from fnet_kernels._timing import Timing

#: Whichever is the faster is the roofline.
COPIES = ("copy", "copy by a kernel")


def fastest(times: Mapping[str, Timing], names: Iterable[str]) -> str:
    """That of the names, of those that were timed, whose median is the least."""
    return min((name for name in names if name in times), key=lambda name: times[name].median)


class Report:
    """What was measured, what was not and why."""

    def __init__(
        self,
        device: Device,
        path: Path,
        seconds: float,
        targets: Sequence[Target] = (),
        *,
        resume: bool = False,
    ) -> None:
        """`resume`: what the file holds of the same device and versions is kept and added to."""
        self.path = path
        self.targets = targets
        self.seconds = seconds
        self.end = time.monotonic() + seconds
        self.failed = False
        self.content: dict[str, Any] = {
            "machine": device.facts()
            | {"torch": torch.__version__, "fnet_kernels": fnet_kernels.__version__}
            | {"python": platform.python_version()}
            | {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")},
            "state_at_start": device.state(),
            "times": {},
            "kernels": {},
            "memory": {},
            "models": {},
            "absent": {},
            "not_run": {},
            "targets": [],
        }
        if resume and path.exists():
            self.content = _joined(json.loads(path.read_text()), self.content)

    @property
    def left(self) -> float:
        """The share of the time that is left; below zero when it is over."""
        return (self.end - time.monotonic()) / self.seconds

    def part(self, what: str, run: Callable[[], None]) -> None:
        """Run one part of the work; its failure, or the lack of time, is written down."""
        print(f"\n{what}", flush=True)
        if self.left < 0:
            self.not_run(what, "no time left")
        else:
            # What kills this process leaves these words in the file.
            self.content["not_run"][what] = "began and did not end"
            self.write()
            try:
                run()
                del self.content["not_run"][what]
            except Exception as error:  # the other parts still have something to say
                traceback.print_exc(file=sys.stdout)
                self.failed = True
                self.not_run(what, f"{type(error).__name__}: {error}")
        self.write()

    def not_run(self, what: str, why: str) -> None:
        print(f"not run: {why}")
        self.content["not_run"][what] = why

    def absent(self, what: str, contestant: str, why: str) -> None:
        print(f"absent: {contestant}: {why}")
        self.content["absent"].setdefault(what, {})[contestant] = why

    def check(
        self, target: Target, ratio: tuple[float, float, float], *, where: str, against: str
    ) -> None:
        """Hold a ratio (first quartile, median, third) against a bar."""
        result = target.check(ratio, where=where, against=against)
        self.content["targets"] = _with(self.content["targets"], [result])

    def times(
        self, what: str, times: Mapping[str, Timing], ours: str, moved: int | None = None
    ) -> None:
        """Keep the times of one comparison and print them, fastest first.

        `ours`: the name that the others are compared with. `moved`: bytes, where reading x and
        writing y is all that has to be moved.
        """
        rows = self.content["times"][what] = {}
        for name, timing in sorted(times.items(), key=lambda item: item[1].median):
            low, middle, high = (1e6 * t for t in timing.quartiles)
            row = {"median_us": middle, "q1_us": low, "q3_us": high, "rounds": len(timing.seconds)}
            if moved is not None:
                row["gb_per_s"] = moved / timing.median / 1e9
                row["of_copy"] = 1 / timing.over(times[fastest(times, COPIES)])[1]
            row["over_ours"] = timing.over(times[ours])[1]
            rows[name] = row
        columns = ["median_us", "q1_us", "q3_us", "gb_per_s", "of_copy", "over_ours"]
        columns = [c for c in columns if any(c in row for row in rows.values())]
        cells = [[name, *(f"{row[c]:.2f}" for c in columns)] for name, row in rows.items()]
        print(table(["", *columns], cells), flush=True)

    def write(self) -> None:
        """Everything so far as JSON."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")  # never half a file, whenever the process ends
        new.write_text(json.dumps(self.content, indent=1) + "\n")
        new.replace(self.path)

    @property
    def unmeasured(self) -> list[str]:
        """Bars without a single verdict."""
        known = {result["target"] for result in self.content["targets"]}
        return [target.name for target in self.targets if target.name not in known]

    @property
    def all_met(self) -> bool:
        """Whether every bar that was measured holds."""
        return all(result["met"] for result in self.content["targets"])

    def summary(self) -> str:
        """A row per verdict: what was measured, its quartiles, pass or FAIL; what was not."""
        rows = [
            [
                v["target"],
                v["where"],
                v["against"],
                v["limit"],
                text(v),
                "met" if v["met"] else "MISSED",
            ]
            for v in self.content["targets"]
        ]
        lines = [f"not run: {what}: {why}" for what, why in self.content["not_run"].items()]
        heads = ["target", "where", "against", "limit", "measured", ""]
        lines += ["", table(heads, rows, left=3)]
        return "\n".join([*lines, *(f"not measured: {name}" for name in self.unmeasured)])


#: What has to agree before figures stand in one file.
_SAME = ("name", "capability", "torch", "fnet_kernels")


def _joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The figures of both; of what both have measured, those of `new`.

    Raises:
        ValueError: they were taken on different devices or versions.
    """
    for key in _SAME:
        if old["machine"].get(key) != new["machine"].get(key):
            raise ValueError(
                f"figures of different machines do not join: {key} is "
                f"{old['machine'].get(key)} and {new['machine'].get(key)}"
            )
    joined = {**old, **new}
    for key in ("times", "kernels", "memory", "models", "absent", "not_run"):
        joined[key] = {**old.get(key, {}), **new[key]}
    for what in list(joined["not_run"]):  # it ran another time
        if any(what in joined[key] for key in ("times", "memory", "models")):
            del joined["not_run"][what]
    joined["targets"] = _with(old["targets"], new["targets"])
    return joined


def _with(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All verdicts; the last one where a bar was held twice at the same place."""
    again = {(v["target"], v["where"]) for v in new}
    return [v for v in old if (v["target"], v["where"]) not in again] + new


def merge(files: Sequence[Path], folder: Path) -> Path:
    """Write the figures of several runs on one kind of device as one file; its path.

    Raises:
        ValueError: they were taken on different devices or versions.
    """
    content = json.loads(files[0].read_text())
    for file in files[1:]:
        content = _joined(content, json.loads(file.read_text()))
    path = folder / files[0].name
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
