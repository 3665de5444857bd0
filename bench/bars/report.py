"""What `python -m bench.bars` has measured: collected, said as it comes, summed up, written.

defines: Report, ROOMS
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.bars.bar import Bar, text
from bench.measure import cores
from bench.measure.handover import handover_ns, near
from fnet_kernels._terminal import table
from fnet_kernels._timing import Timing

#: What a bar may be out of reach for: the ratio that an op as fast as this would reach.
ROOMS = ("a copy", "layer_norm(x + x)")
_COPIES = ("copy", "streaming copy")


class Report:
    """Collects times, verdicts and absences, and says each as it comes."""

    def __init__(self, promises: Sequence[Bar], isas: Sequence[str], patience: float = 0.0) -> None:
        self.promises = promises
        self.isas = isas
        self.times: dict[str, dict[str, Any]] = {}
        self.cores: dict[str, float] = {}
        self.handovers: dict[str, list[int | None]] = {}  # nanoseconds, before and after
        self.verdicts: list[dict[str, Any]] = []
        self.absent: dict[str, str] = {}
        self.patience = patience

    def take(self, what: str, measure: Callable[[], dict[str, Timing]]) -> dict[str, Timing]:
        """Run one comparison on two cores, keep its times, in milliseconds, and print them."""
        times = self._on_two_cores(what, measure)
        rows = self.times[what] = {}
        for name, timing in times.items():
            low, middle, high = (1e3 * t for t in timing.quartiles)
            rows[name] = {"median_ms": middle, "q1_ms": low, "q3_ms": high}
            rows[name]["rounds"] = len(timing.seconds)
        cells = [
            [name, *(f"{row[k]:.2f}" for k in ("median_ms", "q1_ms", "q3_ms"))]
            for name, row in sorted(rows.items(), key=lambda item: item[1]["median_ms"])
        ]
        heading = f"\n{what}: {self.on(what)}"
        print(f"{heading}\n{table(['', 'median ms', 'q1', 'q3'], cells)}", flush=True)
        return times

    def _on_two_cores(
        self, what: str, measure: Callable[[], dict[str, Timing]]
    ) -> dict[str, Timing]:
        while True:
            start = time.perf_counter()
            self.cores[what] = cores.given(2)
            self.handovers[what] = [handover_ns()]
            if self.patience <= 0 or self.undisturbed(what):
                times = measure()
                self.cores[what] = min(self.cores[what], cores.given(2))
                self.handovers[what].append(handover_ns())
                if self.patience <= 0 or self.undisturbed(what):
                    return times
            print(f"{what}: {self.on(what)}, again", flush=True)
            time.sleep(2)
            self.patience -= time.perf_counter() - start

    def undisturbed(self, what: str) -> bool:
        """Whether that comparison had two cores, and these a cache in common."""
        return cores.enough(self.cores[what], 2) and all(map(near, self.handovers[what]))

    def on(self, what: str) -> str:
        """What it ran on, in words."""
        apart = " and ".join(str(ns) for ns in self.handovers[what] if ns)
        return f"{self.cores[what]:.2f} cores" + (f", {apart} ns there and back" if apart else "")

    def faster(
        self, bar: Bar, times: dict[str, Timing], rival: str, shape: str, against: str = ""
    ) -> None:
        """Hold `rival`'s time over ours against `bar`, with the room that the machine leaves."""
        if rival not in times:
            return
        room = self.room(times, rival)
        about: dict[str, Any] = {"shape": shape, "room": room}
        about |= {"against": against} if against else {}
        if ROOMS[1] in room:
            about["reachable"] = bar.keeps(room[ROOMS[1]])
        for isa in self.isas:
            if f"ours {isa}" in times:
                ratio = times[rival].over(times[f"ours {isa}"])
                self.verdicts.append(bar.verdict(ratio, isa=isa, **about))

    def most(self, bar: Bar, isa: str, shape: str, ratio: tuple[float, float, float]) -> None:
        """Hold a ratio of ours against `bar`."""
        self.verdicts.append(bar.verdict(ratio, shape=shape, isa=isa))

    @staticmethod
    def room(times: dict[str, Timing], rival: str) -> dict[str, float]:
        """`rival`'s time over that of the faster copy, and over `layer_norm(x + x)`."""
        found = {}
        copies = [name for name in _COPIES if name in times]
        if copies:
            fastest = min(copies, key=lambda name: times[name].median)
            found[ROOMS[0]] = times[rival].over(times[fastest])[1]
        if ROOMS[1] in times:
            found[ROOMS[1]] = times[rival].over(times[ROOMS[1]])[1]
        return found

    @property
    def unmeasured(self) -> list[str]:
        """Bars without a single verdict."""
        return [bar.name for bar in self.promises if not any(self._of(bar))]

    @property
    def kept(self) -> bool:
        """Whether every bar was measured and holds."""
        return not self.unmeasured and all(v["pass"] for v in self.verdicts)

    def _of(self, bar: Bar) -> list[dict[str, Any]]:
        return [v for v in self.verdicts if v["bar"] == bar.name]

    def summary(self) -> str:
        """A row per bar and shape: what was measured per ISA, pass or FAIL, and the room."""
        cells: dict[tuple[str, ...], dict[str, str]] = {}
        for bar in self.promises:
            for v in self._of(bar):
                key = (bar.name, v["shape"], v.get("against", ""), v["limit"])
                row = cells.setdefault(key, {})
                beyond = "" if v.get("reachable", True) else ", out of reach"
                row[v["isa"]] = f"{text(v)} {'pass' if v['pass'] else 'FAIL' + beyond}"
                row |= {name: f"{ratio:.2f}" for name, ratio in v.get("room", {}).items()}
        columns = [*self.isas, *ROOMS]
        rows = [[*key, *(row.get(column, "") for column in columns)] for key, row in cells.items()]
        heads = ["bar", "shape", "against", "limit", *self.isas, *(f"as {name}" for name in ROOMS)]
        lines = [f"not measured: {name}" for name in self.unmeasured]
        return "\n".join([table(heads, rows, left=3), ABOUT_ROOM, *lines])

    def write(self, path: Path, **more: Any) -> None:
        """Everything as JSON."""
        content = more | {
            "absent": self.absent,
            "times": self.times,
            "cores": self.cores,
            "handover_ns": self.handovers,
            "bars": self.verdicts,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")


ABOUT_ROOM = (
    f"'as {ROOMS[0]}', 'as {ROOMS[1]}': the ratio that an op exactly as fast as those would reach "
    "here.\nA bar above the latter is out of reach for any op that is not faster than eager "
    "layer_norm(x + x)."
)
