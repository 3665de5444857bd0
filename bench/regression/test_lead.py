"""Ours keeps its lead over the formula: `make bench-regression`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from gate import CASES, SLACK, Case, calls, held, lead, required, settle

from fnet_kernels._timing import quartiles, wall_seconds

ROUNDS = 25


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    settle()
    yield
    torch.set_num_threads(threads)


def limit_for(case: Case) -> float:
    isa = torch.ops.fnet_kernels.cpu_isa()
    limit = required(case, isa)
    if limit is None:
        pytest.skip(f"no reference for {isa}: python bench/regression/gate.py records one")
    return limit


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ours_keeps_its_lead(case: Case, benchmark: Any) -> None:
    limit = limit_for(case)
    mine, theirs = calls(case)
    baseline: list[float] = []
    # The formula runs before every timed call of ours: interleaved rounds in one process.
    benchmark.pedantic(
        mine,
        setup=lambda: baseline.append(wall_seconds(theirs)),
        rounds=ROUNDS,
        warmup_rounds=2,
    )
    if benchmark.stats is None:  # --benchmark-disable
        first = lead(mine, theirs)
    else:
        own = benchmark.stats.stats.data
        first = quartiles([a / b for a, b in zip(baseline[-len(own) :], own, strict=True)])[1]
    passed, seen = held(first, limit, lambda: lead(mine, theirs))
    benchmark.extra_info["formula / ours"] = seen
    assert passed, f"formula / ours is {seen}, and must be {limit:.2f} or more"


def twice_as_slow(call: Callable[[], Any]) -> Callable[[], Any]:
    def slow() -> Any:
        start = time.perf_counter()
        result = call()
        end = 2 * time.perf_counter() - start
        while time.perf_counter() < end:
            pass
        return result

    return slow


def test_twice_as_slow_does_not_pass() -> None:
    case = Case((1, 512, 768))
    mine, theirs = calls(case)
    slow = twice_as_slow(mine)
    limit = SLACK * lead(mine, theirs)  # as if the reference had been recorded just now
    assert held(lead(mine, theirs), limit, lambda: lead(mine, theirs))[0]
    assert not held(lead(slow, theirs), limit, lambda: lead(slow, theirs))[0]
