"""Ours stays as near to its rival as was recorded: `make bench-regression`.

Each case runs twice: as it is, which must pass, and twice as slow, which must not: against the
recorded limit, so that a gate too loose for this machine says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from bench.contestants.registry import isas
from bench.regression.gate import (
    BLOCKS,
    CASES,
    ROUNDS,
    Case,
    calls,
    least_ratio,
    limit,
    settle,
    twice_as_slow,
)
from fnet_kernels._timing import wall_seconds

EVERY = pytest.mark.parametrize("case", CASES, ids=str)
EVERY_ISA = pytest.mark.parametrize("isa", isas())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    settle()
    yield
    torch.set_num_threads(threads)
    torch.ops.fnet_kernels.set_cpu_isa("auto")


def measured(benchmark: Any, mine: Callable[[], Any], theirs: Callable[[], Any]) -> float:
    """Our time over the rival's, which runs before every timed call of ours: interleaved rounds."""
    rival: list[float] = []
    benchmark.pedantic(
        mine,
        setup=lambda: rival.append(wall_seconds(theirs)),
        rounds=BLOCKS * ROUNDS,
        warmup_rounds=3,
    )
    if benchmark.stats is None:
        pytest.skip("--benchmark-disable: nothing is measured")
    own = benchmark.stats.stats.data
    ratio = least_ratio(own, rival[-len(own) :])
    benchmark.extra_info["ours / rival"] = ratio
    return ratio


def limit_for(case: Case, isa: str) -> float:
    most = limit(case, isa)
    if most is None:
        pytest.skip(f"no ratio recorded for {isa}: make bench-regression ARGS=--record")
    return most


@EVERY_ISA
@EVERY
def test_ours_stays_near_its_rival(case: Case, isa: str, benchmark: Any, found: Any) -> None:
    if found is None:
        most = limit_for(case, isa)
        ratio = measured(benchmark, *calls(case, isa))
        assert ratio <= most, f"ours / {case.rival}: at most {most:.2f} is let pass"
    else:
        found[isa, str(case)] = measured(benchmark, *calls(case, isa))


@EVERY_ISA
@EVERY
def test_twice_as_slow_does_not_pass(case: Case, isa: str, benchmark: Any, found: Any) -> None:
    if found is not None:
        pytest.skip("recording")
    most = limit_for(case, isa)
    mine, theirs = calls(case, isa)
    ratio = measured(benchmark, twice_as_slow(mine), theirs)
    assert ratio > most, f"at half its speed ours / {case.rival} is let pass: record this machine's"
