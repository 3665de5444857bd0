"""Calls divide over many cores as recorded: `make bench-regression`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bench.cores import Division, division, measure, slots_of
from bench.regression.division import CASES, REPEATS, Case, is_as_good, recorded

core = pytest.importorskip("fnet_core_bench", reason="not built: run `make core`")


@pytest.fixture(params=core.isas().split(","))
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    assert core.set_isa(request.param)
    yield request.param
    core.set_isa("auto")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rounds_and_busy_share_stay_near_the_recorded_ones(
    case: Case, isa: str, divisions: dict[tuple[str, str], Division] | None
) -> None:
    found = measure(core, case.shape, case.cores, case.direction, REPEATS)
    if divisions is not None:
        divisions[isa, str(case)] = found
        return
    reference = recorded(isa, case)
    if reference is None:
        pytest.skip(f"nothing recorded for {isa}: make bench-regression ARGS=--record")
    assert is_as_good(found, reference), f"{found}, recorded {reference}"
    assert not is_as_good(replace(found, rounds=reference["rounds"] + 1), reference)


def test_a_slot_with_twice_the_work_does_not_pass(
    isa: str, divisions: dict[tuple[str, str], Division] | None
) -> None:
    if divisions is not None:
        pytest.skip("recording")
    case = CASES[1]
    reference = recorded(isa, case)
    if reference is None:
        pytest.skip(f"nothing recorded for {isa}: make bench-regression ARGS=--record")
    rounds, _ = slots_of(core, case.shape, case.cores, case.direction, REPEATS)
    slow = [[2 * max(slots), *slots[1:]] for slots in rounds]
    assert not is_as_good(division(slow, case.cores), reference)
