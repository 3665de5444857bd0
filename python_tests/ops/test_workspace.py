"""The CPU workspace: private to its thread, bounded, and mostly freed after a call."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import fnet_kernels

MIB = 1 << 20
KEPT = 64 * MIB  # csrc/torch/workspace.h
SHAPES = [(4, 512, 64), (1, 2048, 96), (3, 30, 70), (1, 4096, 32)]


def test_threads_do_not_share_a_workspace() -> None:
    inputs = [torch.randn(shape) for shape in SHAPES] * 4
    alone = [fnet_kernels.fused_fourier_mix(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            together = list(pool.map(fnet_kernels.fused_fourier_mix, inputs))
            for one, other in zip(alone, together, strict=True):
                assert torch.equal(one, other)


def test_a_workspace_serves_larger_and_smaller_shapes() -> None:
    for shape in (*SHAPES, *reversed(SHAPES)):
        x = torch.randn(shape, dtype=torch.float64)
        error = (fnet_kernels.fourier_mix(x) - fnet_kernels.reference.fourier_mix(x)).abs().max()
        assert error < 1e-10 * x.numel()


@pytest.mark.usefixtures("threads_restored")
def test_it_is_at_most_half_of_x() -> None:
    """Also if each thread has its own spectrum, which is as large as half a sequence."""
    torch.set_num_threads(2)
    for seq, hidden in ((2048, 768), (4096, 1024)):
        x = 4 * seq * hidden
        for batch in range(2, 10):
            needed = torch.ops.fnet_kernels.workspace_bytes(batch, seq, hidden, torch.float32)
            spectra = 2 if batch >= 4 else 1
            assert spectra * x / 2 < needed < (spectra + 1) * x / 2
            assert needed < batch * x / 2


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_many_threads_do_not_multiply_it(dtype: torch.dtype) -> None:
    """Only threads that have work get scratch, as much as fits."""
    for threads in (1, 2, 8, 32, 128):
        torch.set_num_threads(threads)
        for batch, seq, hidden in ((2, 512, 768), (8, 512, 768), (32, 512, 768), (2, 4096, 768)):
            x = 4 * batch * seq * hidden
            needed = torch.ops.fnet_kernels.workspace_bytes(batch, seq, hidden, dtype)
            assert needed <= 0.6 * x, (threads, batch)
        single = torch.ops.fnet_kernels.workspace_bytes(1, 4096, 768, dtype)
        assert single < 1.4 * 4 * 4096 * 768, threads


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory from /proc")
def test_a_large_workspace_is_freed() -> None:
    def resident() -> int:
        line = next(
            text
            for text in Path("/proc/self/status").read_text().splitlines()
            if text.startswith("VmRSS:")
        )
        return int(line.split()[1]) * 1024

    x = torch.ones(1, 8192, 8192)
    needed = torch.ops.fnet_kernels.workspace_bytes(1, 8192, 8192, torch.float32)
    assert needed > 1.5 * KEPT
    fnet_kernels.fourier_mix(x[:, :16])
    before = resident()
    y = fnet_kernels.fourier_mix(x)
    held = y.numel() * y.element_size()
    assert resident() - before < held + KEPT // 2
    del y
    assert resident() - before < KEPT // 2
