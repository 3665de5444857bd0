"""Results of `python -m bench.targets`: collects, prints, summarises and writes them.

defines: TargetReport, BOUNDS
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.measure import cores
from bench.measure.core_latency import core_to_core_ns, share_a_cache
from bench.targets.target import Target, text
from bench.written import write_json
from fnet_kernels._terminal import table
from fnet_kernels._timing import Timing

#: Upper bounds of a ratio: the ratio that an operator exactly as fast as these would reach.
BOUNDS = ("a copy", "layer_norm(x + x)")
_COPIES = ("copy", "streaming copy")


class TargetReport:
    """Collects times, results and absences, and prints each as it arrives."""

    def __init__(
        self, targets: Sequence[Target], isas: Sequence[str], patience: float = 0.0
    ) -> None:
        self.targets = targets
        self.isas = isas
        self.times: dict[str, dict[str, Any]] = {}
        self.cores: dict[str, float] = {}
        self.latencies: dict[str, list[int | None]] = {}  # nanoseconds, before and after
        self.results: list[dict[str, Any]] = []
        self.absent: dict[str, str] = {}
        self.patience = patience

    def take(self, what: str, measure: Callable[[], dict[str, Timing]]) -> dict[str, Timing]:
        """Run one comparison on two cores, store its times in milliseconds, and print them."""
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
        heading = f"\n{what}: {self.ran_on(what)}"
        print(f"{heading}\n{table(['', 'median ms', 'q1', 'q3'], cells)}", flush=True)
        return times

    def _on_two_cores(
        self, what: str, measure: Callable[[], dict[str, Timing]]
    ) -> dict[str, Timing]:
        """Repeat the comparison until it runs undisturbed or `patience` is used up."""
        while True:
            start = time.perf_counter()
            self.cores[what] = cores.available(2)
            self.latencies[what] = [core_to_core_ns()]
            if self.patience <= 0 or self.undisturbed(what):
                times = measure()
                self.cores[what] = min(self.cores[what], cores.available(2))
                self.latencies[what].append(core_to_core_ns())
                if self.patience <= 0 or self.undisturbed(what):
                    return times
            print(f"{what}: {self.ran_on(what)}; trying again", flush=True)
            time.sleep(2)
            self.patience -= time.perf_counter() - start

    def undisturbed(self, what: str) -> bool:
        """Whether the comparison had two cores that share a cache."""
        return cores.enough(self.cores[what], 2) and all(map(share_a_cache, self.latencies[what]))

    def ran_on(self, what: str) -> str:
        """The cores that a comparison had, and their latency, for people."""
        latency = " and ".join(str(ns) for ns in self.latencies[what] if ns)
        return f"{self.cores[what]:.2f} cores" + (
            f", core-to-core round trip {latency} ns" if latency else ""
        )

    def check_speedup(
        self, target: Target, times: dict[str, Timing], rival: str, shape: str, against: str = ""
    ) -> None:
        """Check the ratio of `rival`'s time to ours against `target`, and record its bounds."""
        if rival not in times:
            return
        bounds = self.bounds(times, rival)
        about: dict[str, Any] = {"shape": shape, "bounds": bounds}
        about |= {"against": against} if against else {}
        if BOUNDS[1] in bounds:
            about["reachable"] = target.is_met(bounds[BOUNDS[1]])
        for isa in self.isas:
            if f"ours {isa}" in times:
                ratio = times[rival].over(times[f"ours {isa}"])
                self.results.append(target.check(ratio, isa=isa, **about))

    def check(
        self, target: Target, isa: str, shape: str, ratio: tuple[float, float, float]
    ) -> None:
        """Check a ratio of ours against `target`."""
        self.results.append(target.check(ratio, shape=shape, isa=isa))

    @staticmethod
    def bounds(times: dict[str, Timing], rival: str) -> dict[str, float]:
        """Ratio of `rival`'s time to the faster copy's, and to that of `layer_norm(x + x)`."""
        found = {}
        copies = [name for name in _COPIES if name in times]
        if copies:
            fastest = min(copies, key=lambda name: times[name].median)
            found[BOUNDS[0]] = times[rival].over(times[fastest])[1]
        if BOUNDS[1] in times:
            found[BOUNDS[1]] = times[rival].over(times[BOUNDS[1]])[1]
        return found

    @property
    def unmeasured(self) -> list[str]:
        """The names of targets without a result."""
        return [target.name for target in self.targets if not any(self._of(target))]

    @property
    def all_met(self) -> bool:
        """Whether every target was measured and is met everywhere."""
        return not self.unmeasured and all(result["met"] for result in self.results)

    def _of(self, target: Target) -> list[dict[str, Any]]:
        return [result for result in self.results if result["target"] == target.name]

    def summary(self) -> str:
        """A table with one row per target and shape: ratio by instruction set, and bounds."""
        cells: dict[tuple[str, ...], dict[str, str]] = {}
        for target in self.targets:
            for result in self._of(target):
                key = (target.name, result["shape"], result.get("against", ""), result["limit"])
                row = cells.setdefault(key, {})
                beyond = "" if result.get("reachable", True) else ", out of reach"
                outcome = "met" if result["met"] else f"MISSED{beyond}"
                row[result["isa"]] = f"{text(result)} {outcome}"
                row |= {name: f"{ratio:.2f}" for name, ratio in result.get("bounds", {}).items()}
        columns = [*self.isas, *BOUNDS]
        rows = [[*key, *(row.get(column, "") for column in columns)] for key, row in cells.items()]
        heads = ["target", "shape", "against", "limit", *self.isas]
        heads += [f"as {name}" for name in BOUNDS]
        lines = [f"not measured: {name}" for name in self.unmeasured]
        return "\n".join([table(heads, rows, left=3), ABOUT_BOUNDS, *lines])

    def write(self, path: Path, **more: Any) -> None:
        """Write everything as JSON; `more` comes first."""
        content = more | {
            "absent": self.absent,
            "times": self.times,
            "cores": self.cores,
            "core_to_core_ns": self.latencies,
            "targets": self.results,
        }
        write_json(path, content)


ABOUT_BOUNDS = (
    f"'as {BOUNDS[0]}', 'as {BOUNDS[1]}': the ratio of an operator that is exactly as fast.\n"
    "A target above the second bound cannot be met by an operator that is not faster than eager "
    "layer_norm(x + x)."
)
