"""Which accesses of a kernel, and of kernels that overlap, the simulator takes for ordered."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

SEEDS = range(5)
PLACE = r"kernels\.cu:\d+:\d+"
RACES = {
    "READS_THEN_WRITE": ("write of 4 bytes at byte 0", "read", "several threads"),
    "LANE_AMONG_READERS": ("write of 4 bytes at byte 0", "read", "several threads"),
    "READERS_OF_TWO_WARPS": ("write of 4 bytes at byte 0", "read", "several threads"),
    "TWO_WRITES": ("write of 4 bytes at byte 0", "write", "thread 0"),
    "WIDE_THEN_NARROW": ("write of 2 bytes at byte 14", "write", "thread 0"),
    "NARROW_THEN_WIDE": ("write of 16 bytes at byte 0", "write", "thread 0"),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", RACES)
def test_a_race_is_described(kernels: ModuleType, kind: str, seed: int) -> None:
    access, other, threads = RACES[kind]
    _, report, status = kernels.race(getattr(kernels.Race, kind), seed)
    assert status != 0
    (error,) = report["errors"]
    thread = 0 if kind == "LANE_AMONG_READERS" else 32
    text = (
        rf"race block \(0,0,0\) thread {thread}: race {access} of y, "
        rf"not ordered after the {other} at {PLACE} by {threads}, at {PLACE}"
    )
    assert re.fullmatch(text, error["text"]), error["text"]
    assert (error["kind"], error["count"]) == ("race", 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_sync_warp_orders_a_write_after_the_reads_of_its_warp(
    kernels: ModuleType, seed: int
) -> None:
    assert kernels.race(kernels.Race.SYNCED_WARP, seed)[1]["errors"] == []


def test_a_barrier_orders_the_reads_of_its_block_only(kernels: ModuleType) -> None:
    """Block 0 writes what every block reads: first, and then the reads race, or later."""
    texts = {e["text"] for seed in range(8) for e in kernels.blocks_read(seed)[1]["errors"]}
    write = r"block \(0,0,0\) thread 0: race write of 4 bytes at byte 0 of y, not ordered after the"
    read = (
        r"block \([12],0,0\) thread 0: race read of 4 bytes at byte 0 of y, not ordered after the"
    )
    for text in (f"{write} read at {PLACE} by several threads", f"{read} write at {PLACE} by"):
        assert any(re.search(text, found) for found in texts), texts
    assert all(kernels.blocks_read(seed)[2] != 0 for seed in range(8))


def test_blocks_that_write_one_address_race_in_any_order(kernels: ModuleType) -> None:
    def last_block(seed: int) -> float:
        y, report, _ = kernels.blocks_write(4, seed)
        (error,) = report["errors"]
        assert (error["kind"], error["count"]) == ("race", 3)
        assert "not ordered after the write" in error["text"]
        return float(y[0])

    assert len({last_block(seed) for seed in range(16)}) == 4
    assert last_block(3) == last_block(3)


# Kernels that overlap.

EARLY = {
    "READ_OF_WRITTEN": ("read", 0, "write"),
    "WRITE_OF_WRITTEN": ("write", 0, "use"),
    "WRITE_OF_READ": ("write", 128, "use"),
    "CHANGE_OF_READ": ("write", 128, "use"),
    "CONSTANT_READ": ("read", 0, "write"),
}


@pytest.mark.parametrize("what", EARLY)
def test_an_access_before_the_wait_is_described(kernels: ModuleType, what: str) -> None:
    """The kernel between the two ends no earlier than the first, which it overlaps."""
    access, first_byte, use = EARLY[what]
    _, report, status = kernels.early_access(getattr(kernels.Early, what), True)
    assert status != 0
    (error,) = report["errors"]
    text = (
        rf"consumer block \(0,0,0\) thread (\d+): not awaited {access} of 4 bytes "
        rf"at byte (\d+) of y, which producer may still {use}, at {PLACE}"
    )
    found = re.fullmatch(text, error["text"])
    assert found, error["text"]
    assert int(found[2]) == first_byte + 4 * int(found[1])
    assert (error["kind"], error["count"]) == ("not awaited", 32)


@pytest.mark.parametrize(
    ("what", "second_overlaps"),
    [("NONE", True), ("READ_OF_READ", True), *((what, False) for what in EARLY)],
)
def test_only_kernels_that_may_still_run_are_awaited(
    kernels: ModuleType, what: str, second_overlaps: bool
) -> None:
    _, report, status = kernels.early_access(getattr(kernels.Early, what), second_overlaps)
    assert (status, report["errors"]) == (0, [])


@pytest.mark.parametrize("second_overlaps", [False, True])
def test_every_thread_awaits_the_previous_kernel(
    kernels: ModuleType, second_overlaps: bool
) -> None:
    what = kernels.Early.LANE_WITHOUT_AWAIT
    _, report, status = kernels.early_access(what, second_overlaps)
    assert status != 0
    (error,) = report["errors"]
    text = "consumer block (0,0,0) thread 7: ends without awaiting the previous kernel"
    assert (error["kind"], error["text"], error["count"]) == ("not awaited", text, 1)


def test_the_first_kernel_of_a_call_overlaps_no_other(kernels: ModuleType) -> None:
    _, report, status = kernels.overlap_nothing()
    assert status != 0
    assert "no kernel of the call to overlap" in report["errors"][0]["text"]
