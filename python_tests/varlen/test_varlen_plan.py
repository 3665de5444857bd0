"""How slots share sequences of different lengths, and the memory that takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

import fnet_kernels as fk
from bench.shapes import VARLEN

pytestmark = pytest.mark.usefixtures("threads_restored")


def plan(lengths: list[int], threads: int, hidden: int = 768, round_to: int = 1) -> dict[str, Any]:
    torch.set_num_threads(threads)
    text = torch.ops.fnet_kernels.cpu_varlen_plan(lengths, round_to, hidden, torch.float32)
    found: dict[str, Any] = json.loads(text)
    assert found["slots"] == threads
    return found


def test_many_sequences_are_whole() -> None:
    for threads in (1, 2, 4):
        found = plan(VARLEN, threads)
        assert (found["shared"], found["workers"]) == (0, threads)


def test_all_slots_share_what_would_keep_one_busy() -> None:
    assert plan([4096], 2)["shared"] == 1
    assert plan([4096], 1)["shared"] == 0
    assert plan([4096, *[64] * 8], 2)["shared"] == 1
    assert plan([2048] * 3, 2)["shared"] == 1
    assert plan([2048] * 4, 2)["shared"] == 0
    assert plan([2048] * 2, 8)["shared"] == 2


def test_short_neighbours_form_groups() -> None:
    found = plan([3] * 4096, 2, hidden=96)
    assert 128 <= found["groups"] <= 256
    assert found["workers"] == 2


@pytest.mark.parametrize("round_to", [1, 64])
def test_memory_is_bounded_on_any_number_of_threads(round_to: int) -> None:
    cases = [VARLEN, [4096, *[64] * 60], [2048] * 8, [512, 300] * 4, list(range(16, 400, 7))]
    for threads in (1, 2, 3, 8, 32, 128):
        for lengths in cases:
            x = 4 * 768 * sum(lengths)
            needed = plan(lengths, threads, round_to=round_to)["workspace_bytes"]
            assert needed <= 0.6 * x, (threads, lengths)
    assert plan([4096], 8)["workspace_bytes"] <= 1.1 * 4 * 768 * 4096


@pytest.mark.parametrize(
    "lengths",
    [
        [4] * 5000,
        [3] * 5000,
        [2, 0, 1] * 2000,
        [17, 1] * 113,  # three chunks of sums in 18 rows
        [700, *[0, 3, 1] * 300],
    ],
    ids=lambda lengths: f"{len(lengths)}x{lengths[:4]}",
)
@pytest.mark.parametrize("past", [0, 1], ids=["full", "one row shorter"])
def test_the_sums_of_the_backward_pass_are_bounded(lengths: list[int], past: int) -> None:
    """Padding does not add sums of dweight and dbias: at most 768 rows."""
    hidden = 32
    x = torch.randn(len(lengths), max(lengths) + past, hidden, requires_grad=True)
    affine = [torch.ones(hidden, requires_grad=True) for _ in range(2)]
    y = fk.fused_fourier_mix(x, *affine, lengths=lengths)
    grad = torch.ones_like(y)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        torch.autograd.grad(y, [x, *affine], grad)
    events: Any = profiled.profiler.kineto_results.events()
    taken = sum(max(0, event.nbytes()) for event in events if event.name() == "[memory]")
    row = 4 * hidden
    assert 100 * row < taken - 4 * x.numel() < 768 * row + 4096
