"""Results of bench.gpu: times, absences and targets, written to disk after every part.

defines: Report, merge, fastest, COPIES
"""

from __future__ import annotations

import datetime
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
from bench.written import read_json, write_json
from fnet_kernels._terminal import table
from fnet_kernels._timing import Timing

#: The faster of the two is the roofline.
COPIES = ("copy", "copy by a kernel")


def fastest(times: Mapping[str, Timing], names: Iterable[str]) -> str:
    """The name with the smallest median, among those that were timed."""
    return min((name for name in names if name in times), key=lambda name: times[name].median)


class Report:
    """Collects the results, and the reasons for missing ones."""

    def __init__(
        self,
        device: Device,
        path: Path,
        seconds: float,
        targets: Sequence[Target] = (),
        *,
        resume: bool = False,
    ) -> None:
        """If `resume`, add to the figures of the same device and versions in the file."""
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
            self.content = _merged(_read(path), self.content)

    @property
    def left(self) -> float:
        """The fraction of the time that is left; negative after the end."""
        return (self.end - time.monotonic()) / max(self.seconds, 1e-3)

    def part(self, what: str, run: Callable[[], None]) -> None:
        """Run one part and record a failure or a lack of time."""
        print(f"\n{what}", flush=True)
        if self.left < 0:
            self.not_run(what, "no time left")
        else:
            # If the part kills this process, this text stays in the file.
            self.content["not_run"][what] = "began and did not end"
            self.write()
            try:
                run()
                del self.content["not_run"][what]
            except Exception as error:  # the other parts can still run
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
        """Check a ratio (first quartile, median, third quartile) against a target."""
        result = target.check(ratio, where=where, against=against)
        self.content["targets"] = _with(self.content["targets"], [result])

    def times(
        self, what: str, times: Mapping[str, Timing], ours: str, moved: int | None = None
    ) -> None:
        """Store the times of one comparison and print them, fastest first.

        `ours` is the contestant that ratios refer to. `moved` is the minimum memory traffic in
        bytes (read x, write y), or None to leave out bandwidths.
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
        """Write everything so far as JSON."""
        write_json(self.path, self.content)

    @property
    def unmeasured(self) -> list[str]:
        """The names of targets without a result."""
        known = {result["target"] for result in self.content["targets"]}
        return [target.name for target in self.targets if target.name not in known]

    @property
    def all_met(self) -> bool:
        """Whether all measured targets are met."""
        return all(result["met"] for result in self.content["targets"])

    def summary(self) -> str:
        """A table with one row per result, and a line for everything that is missing."""
        rows = [
            [
                result["target"],
                result["where"],
                result["against"],
                result["limit"],
                text(result),
                "met" if result["met"] else "MISSED",
            ]
            for result in self.content["targets"]
        ]
        lines = [f"not run: {what}: {why}" for what, why in self.content["not_run"].items()]
        heads = ["target", "where", "against", "limit", "measured", ""]
        lines += ["", table(heads, rows, left=3)]
        return "\n".join([*lines, *(f"not measured: {name}" for name in self.unmeasured)])


#: Facts that must agree between the figures of one file.
_PARTS = ("times", "kernels", "memory", "models", "absent", "not_run")
_SAME = ("name", "capability", "torch", "fnet_kernels")


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Merge two sets of figures; those of `new` take precedence.

    Raises:
        ValueError: they are from different devices or versions.
    """
    for key in _SAME:
        if old["machine"].get(key) != new["machine"].get(key):
            raise ValueError(
                f"cannot merge figures of different machines: {key} is "
                f"{old['machine'].get(key)} and {new['machine'].get(key)}"
            )
    merged = {**old, **new}
    for key in _PARTS:
        merged[key] = {**old.get(key, {}), **new[key]}
    for what in list(merged["not_run"]):  # it ran in another run
        if any(what in merged[key] for key in ("times", "memory", "models")):
            del merged["not_run"][what]
    merged["targets"] = _with(old["targets"], new["targets"])
    return merged


def _with(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All results; a new one replaces an old one of the same target and place."""
    again = {(r["target"], r["where"]) for r in new}
    return [r for r in old if (r["target"], r["where"]) not in again] + new


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, "machine", "targets", "times")


def merge(files: Sequence[Path], folder: Path) -> Path:
    """Merge the figures of several runs into one file in `folder`, and return its path.

    Raises:
        ValueError: they are from different devices or versions, or no figures of this program.
    """
    content = _read(files[0])
    for file in files[1:]:
        content = _merged(content, _read(file))
    path = folder / files[0].name
    write_json(path, content)
    return path
