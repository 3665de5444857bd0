"""Each wait for the previous kernel is needed, and the simulator reports its absence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from problems import FEW, MODULE, ONE_BY_ONE, Backward, Block, PrenormBackward, Problem, errors

from tools.cuda_sim import ROOT

SHAPE = (2, 16, 64)  # in two slices
KERNELS = ROOT / "csrc" / "cuda"
#: The file:line of every wait in a kernel.
WAITS = [
    f"{path.name}:{number}"
    for path in sorted([*KERNELS.glob("*.h"), *KERNELS.glob("*.cu")])
    for number, line in enumerate(path.read_text().splitlines(), 1)
    if "await_previous_kernel();" in line
]
PROBLEMS = [
    Problem(*SHAPE, "float32"),
    Block(*SHAPE, "float32", norm_first=True),
    Backward(*SHAPE, "float32"),
    Backward(*SHAPE, "bfloat16" if FEW else "float16"),
    PrenormBackward(*SHAPE, "float32"),
]


def found(problem: Any) -> list[Any]:
    return errors(problem.run(device=ONE_BY_ONE))


@pytest.fixture
def skipped(place: str) -> Iterator[str]:
    """The wait at `place` is skipped, as if it were deleted."""
    MODULE.skip_await(place)
    yield place
    MODULE.skip_await("")


def test_every_kernel_that_may_overlap_waits() -> None:
    assert {place.split(":")[0] for place in WAITS} == {
        "norm_grad_rows.h",
        "row_fft.h",
        "row_statistics.cu",
        "seq_fft.h",
    }
    assert [error for problem in PROBLEMS for error in found(problem)] == []


@pytest.mark.skipif(FEW, reason="no float16, where rows have a scale")
@pytest.mark.parametrize("place", WAITS)
def test_a_missing_wait_is_reported(skipped: str) -> None:
    reports = [error for problem in PROBLEMS for error in found(problem)]
    assert {error["kind"] for error in reports} == {"not awaited"}


@pytest.mark.parametrize("place", [place for place in WAITS if "row_fft" in place])
def test_the_report_names_the_data_and_both_kernels(skipped: str) -> None:
    texts = [error["text"] for error in found(Problem(*SHAPE, "float32"))]
    pattern = (
        r"row_fft block \(\d,0,0\) thread \d+: not awaited read of 8 bytes at byte \d+ "
        r"of spectrum, which seq_fft may still write, at row_fft\.h:\d+:\d+"
    )
    assert any(re.fullmatch(pattern, text) for text in texts), texts
