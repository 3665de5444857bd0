"""The simulator itself, on kernels with known results, costs and faults."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tools.cuda_sim import ROOT

Report = dict[str, Any]
SEEDS = range(5)


def numbers(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(n).astype(np.float32)


def ratios(report: Report) -> dict[tuple[str, str], float]:
    """The ratio of transactions to the ideal number, for each buffer and direction."""
    totals: dict[tuple[str, str], list[int]] = {}
    for access in report["accesses"]:
        key = (access["buffer"], "write" if access["write"] else "read")
        total = totals.setdefault(key, [0, 0])
        total[0] += access["transactions"]
        total[1] += access["ideal"]
    return {key: transactions / ideal for key, (transactions, ideal) in totals.items()}


def kinds(report: Report) -> set[str]:
    return {error["kind"] for error in report["errors"]}


# Global memory: 32-byte sectors.


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_coalesced_copy_moves_each_sector_once(kernels: ModuleType, width: int) -> None:
    x = numbers(1024)
    y, report, status = kernels.copy(x, 1024, 1, width)
    assert status == 0
    np.testing.assert_array_equal(y, x)
    assert ratios(report) == {("x", "read"): 1.0, ("y", "write"): 1.0}
    for access in report["accesses"]:
        assert access["width"] == 4 * width
        assert access["requests"] == 1024 // (32 * width)
        assert access["bytes"] == 4096
        assert access["transactions"] == 128


@pytest.mark.parametrize(("stride", "sectors"), [(2, 2.0), (3, 3.0), (8, 8.0), (64, 8.0)])
def test_strided_reads_count_their_sectors(
    kernels: ModuleType, stride: int, sectors: float
) -> None:
    x = numbers(1024 * stride)
    y, report, _ = kernels.copy(x, 1024, stride, 1)
    np.testing.assert_array_equal(y, x[::stride])
    assert ratios(report) == {("x", "read"): sectors, ("y", "write"): 1.0}


def test_lanes_that_leave_a_loop_early_are_matched(kernels: ModuleType) -> None:
    x = numbers(1000)
    y, report, _ = kernels.skewed_copy(x)
    np.testing.assert_array_equal(y, x)
    assert ratios(report) == {("x", "read"): 1.0, ("y", "write"): 1.0}
    # 15 iterations of two warps, then 40 elements: one warp and a quarter of one.
    assert [access["requests"] for access in report["accesses"]] == [32, 32]
    assert [access["bytes"] for access in report["accesses"]] == [4000, 4000]


# Shared memory: wavefronts over 32 banks.


@pytest.mark.parametrize(
    ("pitch", "swizzle", "conflict"),
    [
        (32, False, 32.0),  # a column is one bank
        (40, False, 8.0),  # banks 0, 8, 16, 24
        (34, False, 2.0),
        (33, False, 1.0),
        (32, True, 1.0),
    ],
)
def test_bank_conflicts(kernels: ModuleType, pitch: int, swizzle: bool, conflict: float) -> None:
    x = numbers(1024)
    y, report, status = kernels.exchange(x, pitch, swizzle)
    assert status == 0
    np.testing.assert_array_equal(y.reshape(32, 32), x.reshape(32, 32).T)
    ratio = ratios(report)
    assert ratio["shared", "write"] == 1.0
    assert ratio["shared", "read"] == conflict


@pytest.mark.parametrize(
    ("width", "step", "wavefronts", "ideal"),
    [
        (4, 1, 1, 1),
        (4, 0, 1, 1),  # all lanes read one word, once
        (4, 8, 8, 1),
        (8, 1, 2, 2),  # by half warps
        (8, 2, 4, 2),
        (16, 1, 4, 4),  # by quarters
        (16, 2, 8, 4),
        (16, 0, 4, 4),
    ],
)
def test_wide_shared_reads_are_served_in_parts(
    kernels: ModuleType, width: int, step: int, wavefronts: int, ideal: int
) -> None:
    _, report, status = kernels.wide_reads(width, step)
    assert status == 0
    (read,) = [a for a in report["accesses"] if a["buffer"] == "shared" and not a["write"]]
    assert (read["width"], read["requests"]) == (width, 1)
    assert (read["transactions"], read["ideal"]) == (wavefronts, ideal)


# Barriers, and faults without them.


@pytest.mark.parametrize("seed", SEEDS)
def test_block_sum(kernels: ModuleType, seed: int) -> None:
    x = numbers(1024)
    y, report, status = kernels.block_sum(x, -1, seed)
    assert (status, report["errors"]) == (0, [])
    np.testing.assert_allclose(y, x.reshape(4, 256).sum(1), atol=1e-5)
    assert report["barriers"] == 4 * 8


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("missing", range(8))
def test_a_missing_barrier_is_a_race(kernels: ModuleType, missing: int, seed: int) -> None:
    _, report, status = kernels.block_sum(numbers(1024), missing, seed)
    assert status != 0
    assert "race" in kinds(report)
    assert report["barriers"] == 4 * 7


def test_the_order_of_threads_varies(kernels: ModuleType) -> None:
    """A missing barrier therefore also changes the result."""
    x = numbers(1024)
    sums = {kernels.block_sum(x, 1, seed)[0].tobytes() for seed in range(8)}
    assert len(sums) > 1
    assert kernels.block_sum(x, 1, 3)[0].tobytes() == kernels.block_sum(x, 1, 3)[0].tobytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_warp_sum(kernels: ModuleType, seed: int) -> None:
    x = numbers(256)
    y, report, status = kernels.warp_sum(x, False, seed)
    assert (status, report["errors"]) == (0, [])
    np.testing.assert_allclose(y, x.reshape(-1, 32).sum(1).repeat(32), atol=1e-5)
    assert report["warp_barriers"] == 8 * 6

    _, report, status = kernels.warp_sum(x, True, seed)
    assert status != 0
    assert "race" in kinds(report)


def test_a_warps_barrier_does_not_order_other_warps(kernels: ModuleType) -> None:
    _, report, status = kernels.warp_barrier_for_block(0)
    assert status != 0
    assert kinds(report) == {"race"}


def test_shuffles(kernels: ModuleType) -> None:
    x = np.arange(64, dtype=np.int32) * 3
    y, z, report, status = kernels.shuffles(x)
    assert (status, report["errors"]) == (0, [])
    warps, lane = x.reshape(2, 32), np.arange(32)
    down = np.where(lane + 4 < 32, lane + 4, lane)
    for got, source in zip(y, [lane * 0 + 5, lane * 7 % 32, lane ^ 3, down], strict=True):
        np.testing.assert_array_equal(got.reshape(2, 32), warps[:, source])
    np.testing.assert_array_equal(z.reshape(2, 32), warps[:, lane ^ 31] * 0.5)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (0, ["sync_threads", "thread 96 has ended"]),
        (1, ["sync_threads", "thread 40 waits in sync_threads"]),
        (2, ["sync_warp", "thread 7 has ended"]),
    ],
)
def test_a_divergent_barrier_is_named(kernels: ModuleType, how: int, words: list[str]) -> None:
    for seed in SEEDS:
        _, report, status = kernels.divergent_barrier(how, seed)
        assert status != 0
        (error,) = report["errors"]
        assert error["kind"] == "divergence"
        for word in ["divergent_barrier block (0,0,0) thread 0", "kernels.cu:", *words]:
            assert word in error["text"]
    # The simulator works afterwards.
    assert kernels.block_sum(numbers(1024), -1, 0)[2] == 0


def test_blocks_must_not_write_shared_bytes(kernels: ModuleType) -> None:
    for seed in SEEDS:
        assert kinds(kernels.overlapping_blocks(False, seed)[1]) == {"race"}
        assert kinds(kernels.overlapping_blocks(True, seed)[1]) == set()


@pytest.mark.parametrize("how", range(4))
def test_constant_reads_of_written_data_are_reported(kernels: ModuleType, how: int) -> None:
    _, report, status = kernels.constant_reads(how)
    assert kinds(report) == (set() if how == 3 else {"not constant"})
    assert (status == 0) == (how == 3)


# Memory out of bounds or uninitialised.


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        (0, "out of range", "thread 31: out of range write of 4 bytes at byte 128 of shared"),
        (1, "out of range", "thread 31: out of range read of 4 bytes at byte 132 of x"),
        (2, "out of range", "thread 0: out of range write of 4 bytes at byte -4 of y"),
        (3, "read-only", "read-only write of 4 bytes"),
        (4, "out of range", "thread 0: out of range write of 4 bytes at byte 400000 of y"),
    ],
)
def test_accesses_out_of_bounds(kernels: ModuleType, what: int, kind: str, words: str) -> None:
    x = numbers(33)
    _, report, status = kernels.out_of_range(x, what)
    assert status != 0
    (error,) = report["errors"]
    assert error["kind"] == kind
    assert words in error["text"]
    assert error["count"] == (32 if kind == "read-only" else 1)


def test_shared_memory_begins_as_nan(kernels: ModuleType) -> None:
    y, report, status = kernels.uninitialised()
    assert status != 0
    assert np.isnan(y).all()
    assert kinds(report) == {"uninitialised"}


def test_misaligned_vectors(kernels: ModuleType) -> None:
    _, report, status = kernels.misaligned(numbers(200))
    assert status != 0
    assert kinds(report) == {"misaligned"}


@pytest.mark.parametrize(
    ("grid", "threads", "shared", "words"),
    [
        ((1, 1, 1), 48, 0, "a block has whole warps"),
        ((1, 1, 1), 2048, 0, "a block has 1 to 1024 threads"),
        ((1, 1, 1), 0, 0, "a block has 1 to 1024 threads"),
        ((1, 1, 1), 32, 300_000, "a block has 232448 bytes of shared memory, not 300000"),
        ((0, 1, 1), 32, 128, "the grid is empty"),
        ((1, 0, 1), 32, 128, "the grid is empty"),
        ((1, 1, 0), 32, 128, "the grid is empty"),
        ((1, 65536, 1), 32, 128, "the grid is too large"),
        ((1, 1, 65536), 32, 128, "the grid is too large"),
    ],
)
def test_impossible_launches_are_reported(
    kernels: ModuleType, grid: tuple[int, int, int], threads: int, shared: int, words: str
) -> None:
    _, report, status = kernels.wrong_launch(grid, threads, shared)
    assert status != 0
    (error,) = report["errors"]
    assert error["kind"] == "configuration"
    assert error["text"].endswith(words)


def test_a_launch_needs_a_session(kernels: ModuleType) -> None:
    assert kernels.no_session() != 0


def test_many_blocks_of_many_threads(kernels: ModuleType) -> None:
    x = numbers(8192 * 8)
    y, report, status = kernels.line_fft(x)
    assert (status, report["errors"]) == (0, [])
    np.testing.assert_array_equal(y, x)
    assert set(ratios(report).values()) == {1.0}
    assert report["barriers"] == 8 * 3


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_nvcc_compiles_the_same_source_without_warnings(tmp_path: Path) -> None:
    command = ["nvcc", "-std=c++20", "--expt-relaxed-constexpr", "-arch=sm_90", "-Icsrc"]
    strict = ["-Werror=all-warnings", "-Xcompiler=-Wall,-Wextra,-Werror", "-Xptxas=-Werror"]
    source = "csrc/testing/cuda_sim_selftest/kernels.cu"
    # A preloaded sanitizer must not apply to the compiler.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command += [*strict, "-c", source, "-o", str(tmp_path / "k.o")]
    subprocess.run(command, cwd=ROOT, check=True, env=environment)
