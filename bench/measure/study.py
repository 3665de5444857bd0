"""One comparison per shape: times and peak memory of every contestant, as rows.

defines: Row, Study, Effort, Parts, STEPS, study, shapes_of
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from bench.contestants.registry import CONTESTANTS, LAYERS, Contestant, best_of_ours, pin
from bench.contestants.setting import Setting, Sublayer, reason
from bench.measure import cuda, memory
from bench.measure.timing import Entries, Problem, prepared, ready, time_all
from bench.shapes import label
from fnet_kernels._terminal import Progress
from fnet_kernels._timing import Timing

Wrap = Callable[[Sublayer], Callable[[], Any]]
#: What counts as ours in a part other than "sublayer".
OURS = {"layer": "layer: ours", "mixer": "fourier"}
Parts = Sequence[tuple[str, Sequence[Contestant]]]  # what runs interleaved, by part
STEPS = 5  # progress steps of `study`; one, and two for each part


@dataclass(frozen=True)
class Row:
    """One contestant at one shape. Times are per call, for the whole batch."""

    part: str  # "sublayer", "layer" or "mixer"
    shape: str
    batch: int
    seq: int
    hidden: int
    dtype: str
    direction: str
    contestant: str
    role: str
    rounds: int
    in_rounds: bool  # False for a slow contestant: `rounds` then counts calls outside the rounds
    q1_ms: float
    median_ms: float
    q3_ms: float
    over_ours: float | None  # this time / ours, median over the rounds; above 1, ours is faster
    over_ours_q1: float | None
    over_ours_q3: float | None
    copy_fraction: float | None  # speed as a fraction of a plain copy's, the roofline
    peak_mib: float | None  # peak memory during the call, including the result


@dataclass
class Study:
    """All rows; absences as {(name, reason): shapes}; notes for the reader."""

    rows: list[Row] = field(default_factory=list)
    absent: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def miss(self, name: str, reason: str, where: str) -> None:
        """Record that `name` did not run at the shape `where`."""
        self.absent.setdefault((name, reason), []).append(where)


@dataclass(frozen=True)
class Effort:
    """How long a comparison runs: at least `seconds`, and at least `rounds` rounds.

    `patience` limits the seconds for all rounds of one contestant.
    """

    seconds: float
    rounds: int
    patience: float | None = None

    @property
    def whole(self) -> float:
        """`patience`, or by default `rounds` times `seconds` (at least 1 second per round)."""
        return max(1.0, self.seconds) * self.rounds if self.patience is None else self.patience

    @property
    def share(self) -> float:
        """The longest call that runs in every round, in seconds."""
        return self.whole / self.rounds


def study(
    found: Study,
    setting: Setting,
    direction: str,
    effort: Effort,
    progress: Progress,
    *,
    layers: bool = True,
    parts: Parts | None = None,
) -> None:
    """Run every contestant on `setting` and add its row to `found`.

    Encoder layers run if `layers` is true. `parts` replaces all contestants. A contestant that
    fails is recorded as absent.

    Raises:
        WrongResult: a contestant's result differs from the float64 reference.
    """
    shape = label(setting.shape)
    pin()
    problem = Problem.cold(setting)
    wrap = problem.calls(direction)
    running: Entries = {}
    times: dict[str, Timing] = {}
    if parts is None:
        parts = (("sublayer", CONTESTANTS), ("layer", LAYERS if layers else []))
    for part, field_of in parts:
        progress.step(f"{shape}: building and checking each {part}")
        entries, absent = ready(field_of, problem, backward=setting.backward)
        progress.step(f"{shape}: timing each {part}, {direction}")
        times |= time_all(
            entries,
            wrap,
            effort.seconds / 2 if part == "layer" else effort.seconds,
            device=setting.device,
            patience=effort.share,
            longest=effort.whole,
            minimum=effort.rounds,
            absent=absent,
            on_round=progress.part,
        )
        for name, why in absent.items():
            found.miss(name, why, shape)
        running |= {name: entry for name, entry in entries.items() if name in times}
    if not layers:
        found.miss("encoder layers", "left out by --layers", shape)
    progress.step(f"{shape}: peak memory")
    peaks = _peaks(found, running, wrap, setting, direction)
    pin()
    for name, (contestant, _) in running.items():
        found.rows.append(_row(setting, direction, contestant, times, peaks.get(name)))


def _peaks(
    found: Study, entries: Entries, wrap: Wrap, setting: Setting, direction: str
) -> dict[str, int]:
    """Peak bytes by contestant. On CPUs a child process measures them, without compiled
    contestants: compiling them again would take longer than everything else."""
    if setting.device == "cuda":
        result = {}
        for name, (contestant, function) in entries.items():
            call = wrap(function)
            try:
                prepared(contestant, call)()
                result[name] = cuda.peak(call)
            except Exception as error:
                found.miss(f"peak memory of {name}", reason(error), label(setting.shape))
        return result
    names = [name for name in entries if not name.endswith("compiled")]
    for name in entries.keys() - set(names):
        why = "not measured: it would have to be compiled again in the child process"
        found.miss(f"peak memory of {name}", why, label(setting.shape))
    dtype = str(setting.dtype).removeprefix("torch.")
    peaks = memory.peaks(setting.shape, dtype, direction, names, torch.get_num_threads())
    if isinstance(peaks, str):
        found.miss("peak memory", peaks, label(setting.shape))
        return {}
    for name in names:
        if name not in peaks:
            why = "failed in the child process"
            found.miss(f"peak memory of {name}", why, label(setting.shape))
    return peaks


def _row(
    setting: Setting,
    direction: str,
    contestant: Contestant,
    times: dict[str, Timing],
    peak: int | None,
) -> Row:
    time = times[contestant.name]
    low, middle, high = (1e3 * t for t in time.quartiles)
    part = contestant.role if contestant.role in OURS else "sublayer"
    mine = OURS.get(part) or best_of_ours(setting.device)
    ratio = time.over(times[mine]) if mine in times else (None, None, None)
    of_copy = times["copy"].over(time)[1] if part == "sublayer" and "copy" in times else None
    return Row(
        part,
        label(setting.shape),
        *setting.shape,
        str(setting.dtype).removeprefix("torch."),
        direction,
        contestant.name,
        contestant.role,
        len(time.seconds),
        time.in_rounds,
        low,
        middle,
        high,
        ratio[1],
        ratio[0],
        ratio[2],
        of_copy,
        None if peak is None else peak / 2**20,
    )


def shapes_of(rows: Sequence[Row]) -> list[str]:
    """The shapes in `rows`, by increasing sequence length."""
    order = {row.shape: (row.seq, row.batch, row.hidden) for row in rows}
    return sorted(order, key=order.__getitem__)
