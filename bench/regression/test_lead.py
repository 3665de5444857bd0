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

from gate import CASES, Case, calls, held, lead, required  # noqa: E402

from fnet_kernels._timing import quartiles, wall_seconds  # noqa: E402

ROUNDS = 25


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
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
    # Against the lead of this very run: the reference may come from a slower machine.
    limit = 0.62 / 0.5 * lead(twice_as_slow(mine), theirs)
    slow = twice_as_slow(mine)
    assert not held(lead(slow, theirs), limit, lambda: lead(slow, theirs))[0]
    assert not held(lead(slow, theirs), limit_for(case), lambda: lead(slow, theirs))[0]
