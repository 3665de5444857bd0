"""The ratio of our time to the baseline's stays near the recorded one: `make bench-regression`.

The host time of a call has a target instead of a record, because it depends on no instruction set.
Each case also runs at half its speed, which must fail. This detects a limit that is too loose for
the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from bench import host
from bench.contestants.registry import isas
from bench.regression.cases import CASES, Case
from bench.regression.gate import (
    BLOCKS,
    RIVAL,
    ROUNDS,
    calls,
    limit,
    min_ratio,
    settle,
    twice_as_slow,
)
from fnet_kernels._timing import wall_seconds

EVERY = pytest.mark.parametrize("case", CASES, ids=str)
EVERY_PASS = pytest.mark.parametrize("part", host.PASSES, ids=str)
EVERY_ISA = pytest.mark.parametrize("isa", isas())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    settle()
    yield
    torch.set_num_threads(threads)
    torch.ops.fnet_kernels.set_cpu_isa("auto")


def measured(benchmark: Any, mine: Callable[[], Any], theirs: Callable[[], Any]) -> float:
    """Ratio of our time to the baseline's, which runs before each call of ours."""
    rival: list[float] = []
    benchmark.pedantic(
        mine,
        setup=lambda: rival.append(wall_seconds(theirs)),
        rounds=BLOCKS * ROUNDS,
        warmup_rounds=3,
    )
    if benchmark.stats is None:
        pytest.skip("--benchmark-disable: no measurement")
    own = benchmark.stats.stats.data
    ratio = min_ratio(own, rival[-len(own) :])
    benchmark.extra_info["ours / rival"] = ratio
    return ratio


def limit_for(case: Case, isa: str) -> float:
    maximum = limit(case, isa)
    if maximum is None:
        pytest.skip(f"no ratio recorded for {isa}: make bench-regression ARGS=--record")
    return maximum


@EVERY_ISA
@EVERY
def test_ours_stays_near_its_rival(case: Case, isa: str, benchmark: Any, found: Any) -> None:
    if found is None:
        maximum = limit_for(case, isa)
        ratio = measured(benchmark, *calls(case, isa))
        assert ratio <= maximum, f"ours / {RIVAL}: the limit is {maximum:.2f}"
    else:
        found[isa, str(case)] = measured(benchmark, *calls(case, isa))


@EVERY_ISA
@EVERY
def test_twice_as_slow_does_not_pass(case: Case, isa: str, benchmark: Any, found: Any) -> None:
    if found is not None:
        pytest.skip("recording")
    maximum = limit_for(case, isa)
    mine, theirs = calls(case, isa)
    ratio = measured(benchmark, twice_as_slow(mine), theirs)
    assert ratio > maximum, "half the speed of ours passes: record the ratios of this machine"


@EVERY_PASS
def test_the_host_time_meets_its_target(part: host.Pass, benchmark: Any) -> None:
    mine, rival, _ = host.calls(part).values()
    ratio = measured(benchmark, mine, rival)
    assert part.target.is_met(ratio), f"{part.target}: {ratio:.2f}"


@EVERY_PASS
def test_twice_the_host_time_does_not_meet_it(part: host.Pass, benchmark: Any) -> None:
    mine, rival, _ = host.calls(part).values()
    ratio = measured(benchmark, twice_as_slow(mine), rival)
    assert not part.target.is_met(ratio), "half the speed of ours meets the target"
