"""Streams, graphs, devices, out-of-memory errors, and bitwise reproducibility."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from on_device import REHEARSAL, ROOT, device, inputs, randn, step
from torch import Tensor

from fnet_kernels import fourier_mix, fused_fourier_mix, reference

#: Our kernels, a batch with several slices, and the general path.
SHAPES = [(2, 512, 768), (40, 256, 1024), (2, 509, 96)]
DTYPES = [torch.float32, torch.bfloat16]
if REHEARSAL:
    SHAPES = [(2, 16, 64), (2, 17, 96)]


def assert_same_bits(found: list[Tensor], expected: list[Tensor]) -> None:
    for mine, other in zip(found, expected, strict=True):
        assert torch.equal(mine, other)


def poison() -> None:
    """Fill freed memory blocks of several sizes with NaN."""
    for size in (1 << 12, 1 << 15, 1 << 18) if REHEARSAL else (1 << 12, 1 << 16, 1 << 20, 1 << 24):
        torch.full((size,), float("nan"), device=device.type)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_side_stream_waits_for_its_producer(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight, bias = inputs(*shape, dtype=dtype)
    grad = randn(*shape, dtype=dtype)
    expected = step(x, weight, bias, grad)
    late_x, late_grad = randn(*shape, dtype=dtype), randn(*shape, dtype=dtype)
    device.synchronize()
    with device.side_stream():
        device.sleep(30)
        late_x.copy_(x)
        late_grad.copy_(grad)
        found = step(late_x, weight, bias, late_grad)
    device.synchronize()
    assert_same_bits(found, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_graph_replays_forward(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight, bias = inputs(*shape, dtype=dtype)
    replay, (y,) = device.capture(lambda: [fused_fourier_mix(x, weight, bias)])
    for _ in range(3):
        x.copy_(randn(*shape, dtype=dtype))
        poison()
        replay()
        device.synchronize()
        assert torch.equal(y, fused_fourier_mix(x, weight, bias))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_graph_replays_of_the_other_blocks(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight, bias = inputs(*shape, dtype=dtype)
    residual, lengths = randn(*shape, dtype=dtype), [shape[1] - 8 * i for i in range(shape[0])]
    rounded = {"lengths": [max(length, 0) for length in lengths], "round_to": 16}

    def calls() -> list[Tensor]:
        return [
            fourier_mix(x, norm="ortho", residual=residual),
            fused_fourier_mix(x, weight, norm_type="rms"),
            fused_fourier_mix(x, weight, bias, norm="ortho", norm_first=True),
            fused_fourier_mix(x, weight, bias, **rounded),  # type: ignore[arg-type]
        ]

    replay, found = device.capture(calls)
    for _ in range(3):
        x.copy_(randn(*shape, dtype=dtype))
        poison()
        replay()
        device.synchronize()
        assert_same_bits(list(found), calls())


FIRST_CALL = """
import torch
from python_tests.gpu.on_device import device, inputs
from fnet_kernels import fused_fourier_mix
args = inputs(2, 2048, 768)
device.synchronize()
replay, (y,) = device.capture(lambda: [fused_fourier_mix(*args)], warm_up=False)
replay()
device.synchronize()
assert torch.equal(y, fused_fourier_mix(*args))
"""


def test_a_graph_captures_the_first_call_of_a_process() -> None:
    """The first call does nothing that a capture forbids, such as allocating memory."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_CALL], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_graph_replays_forward_and_backward(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight, bias = inputs(*shape, dtype=dtype)
    grad = randn(*shape, dtype=dtype)
    replay, found = device.capture(lambda: step(x, weight, bias, grad))
    for _ in range(3):
        x.copy_(randn(*shape, dtype=dtype))
        grad.copy_(randn(*shape, dtype=dtype))
        poison()
        replay()
        device.synchronize()
        assert_same_bits(list(found), step(x, weight, bias, grad))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_are_reproducible_to_the_bit(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    args = (*inputs(*shape, dtype=dtype), randn(*shape, dtype=dtype))
    first = step(*args)
    plain = fused_fourier_mix(*args[:3])
    for _ in range(3 if REHEARSAL else 20):
        poison()
        assert_same_bits(step(*args), first)
        assert torch.equal(fused_fourier_mix(*args[:3]), plain)


@pytest.mark.skipif(REHEARSAL or torch.cuda.device_count() < 2, reason="needs two devices")
def test_the_device_of_x_is_used_not_the_current_one() -> None:
    args = (*inputs(2, 512, 768), randn(2, 512, 768))
    expected = step(*args)
    found = step(*(t.to("cuda:1") for t in args))
    assert torch.cuda.current_device() == 0
    for mine, other in zip(found, expected, strict=True):
        assert mine.device == torch.device("cuda:1")
        torch.testing.assert_close(mine.to("cuda:0"), other)


def test_out_of_memory_is_an_error_and_later_calls_work() -> None:
    x = randn(64, 512, 768)  # 100 MB
    words = None if REHEARSAL else "memory"  # torch's stable ABI drops the message of the allocator
    with device.memory_short(), pytest.raises(RuntimeError, match=words):
        fused_fourier_mix(x)
    y = fused_fourier_mix(x[:1])
    expected = reference.fused_fourier_mix(x[:1])
    assert (y - expected).abs().max() < 1e-4 * expected.abs().max()
