"""How slots share sequences of different lengths, and the memory that takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

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
