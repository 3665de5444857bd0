"""Times and peak memory of whole models: FNet, stock and patched, and BERT, in two dtypes.

defines: compare, rows_of, add_peaks, key, RATIOS, MOST

All contestants of a comparison run interleaved in one process.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bench.contestants import models
from bench.contestants.models import CONTESTANTS, Contestant
from bench.contestants.setting import reason
from bench.measure import cuda, memory
from fnet_kernels._sizes import SIZES
from fnet_kernels._timing import Timing, interleave, wall_seconds

Rows = list[dict[str, Any]]
#: Columns of a row that compare it with others; see rows_of.
RATIOS = ("stock_over_this", "bert_over_this")
#: What names one task of one model in a row.
_TASK = ("model", "dtype", "size", "task", "batch", "seq")
MOST = 30  # rounds


def compare(
    size: str,
    task: str,
    batch: int,
    seq: int,
    device: str,
    seconds: float,
    on_round: Callable[[float], None] | None = None,
) -> tuple[Rows, dict[str, str]]:
    """Time one task of every contestant of one size: rows, and who is absent and why."""
    calls: dict[Contestant, Callable[[], Any]] = {}
    absent: dict[str, str] = {}
    for contestant in CONTESTANTS:
        try:
            calls[contestant] = models.prepare(contestant, task, SIZES[size], batch, seq, device)
        except Exception as error:  # stock FNet refuses bfloat16; memory may run out
            absent[contestant.name] = reason(error)
    times = interleave(
        {contestant.name: call for contestant, call in calls.items()},
        seconds=seconds,
        minimum=3,
        maximum=MOST,
        warm_up=False,  # each has run already
        stopwatch=cuda.seconds if device == "cuda" else wall_seconds,
        on_round=on_round,
        failed=absent,
    )
    about: dict[str, Any] = {"size": size, "task": task, "batch": batch, "seq": seq}
    rows: Rows = [about | row for row in rows_of(times)]
    if device == "cuda":
        named = {_key(contestant): call for contestant, call in calls.items()}
        for row in rows:
            row["peak_mib"] = cuda.peak(named[row["model"], row["dtype"]]) / 2**20
    calls.clear()
    gc.collect()  # the child processes that measure memory need the space
    return rows, absent


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a row measures: a later row with this key replaces it."""
    return tuple(row[name] for name in _TASK)


def _key(contestant: Contestant) -> tuple[str, str]:
    return contestant.kind, str(contestant.dtype).removeprefix("torch.")


def rows_of(times: Mapping[str, Timing]) -> Rows:
    """One row per contestant that was timed.

    Milliseconds per batch with quartiles; `bert_over_this` and `stock_over_this` are medians of
    BERT's time in the same dtype, and of stock FNet's in float32, over this time, round by round.
    """
    rows: Rows = []
    for contestant in CONTESTANTS:
        timing = times.get(contestant.name)
        if timing is None:
            continue
        low, middle, high = (1e3 * t for t in timing.quartiles)
        model, dtype = _key(contestant)
        row: dict[str, Any] = {"model": model, "dtype": dtype, "rounds": len(timing.seconds)}
        row |= {"q1_ms": low, "median_ms": middle, "q3_ms": high}
        for name, reference in (
            ("bert_over_this", Contestant("BERT", contestant.dtype)),
            ("stock_over_this", Contestant("FNet", torch.float32)),
        ):
            other = times.get(reference.name)
            row[name] = other and other.over(timing)[1]
        rows.append(row)
    return rows


def add_peaks(rows: Rows, absent: dict[str, str], threads: int) -> None:
    """Measure the peak memory of each row's task on the CPU, in a process of its own."""
    for row in rows:
        found = memory.model_peak({key: row[key] for key in _TASK}, threads)
        if isinstance(found, str):
            absent[f"peak memory of {row['model']} {row['dtype']}, {row['task']}"] = found
        else:
            row["peak_mib"] = found / 2**20
