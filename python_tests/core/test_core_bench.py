"""fnet_core_bench, which bench/passes.py uses."""

from __future__ import annotations

import math

import fnet_core_bench
import numpy as np
import pytest

KERNELS = ("seq_fft", "row_fft", "norm_grad")
KINDS = ("copy", "stream") if fnet_core_bench.streams() else ("copy",)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("isa", fnet_core_bench.isas().split(","))
def test_every_kernel_is_timed_beside_copies(isa: str, warm: bool, narrow: bool) -> None:
    assert fnet_core_bench.set_isa(isa)
    seq, hidden, rounds = 64, 48, 5
    found = fnet_core_bench.passes(4, seq, hidden, rounds, narrow, warm)
    fnet_core_bench.set_isa("auto")
    copies = {f"{kind} as {kernel}" for kind in KINDS for kernel in KERNELS}
    assert set(found) == {*KERNELS, *copies}
    x = (2 if narrow else 4) * seq * hidden
    spectrum = 4 * seq * hidden // 2
    for name, (moved, times) in found.items():
        assert len(times) == rounds, name
        assert all(t > 0 for t in times), name
        assert x <= moved <= 4 * x, name
    assert found["norm_grad"][0] == 3 * x
    # Reads x and writes about half as many numbers in float32, rounded up to whole bands.
    assert x + spectrum <= found["seq_fft"][0] < x + 2.4 * spectrum
    for kernel in KERNELS:
        for kind in KINDS:
            assert abs(found[f"{kind} as {kernel}"][0] - found[kernel][0]) <= 2


@pytest.mark.parametrize("size", [0, 16, 64, 1000, 4096])
def test_the_streaming_copy_copies_exactly_size_bytes(size: int) -> None:
    source = np.arange(8192, dtype=np.uint8)
    target = np.zeros_like(source)
    # malloc aligns both to 16 bytes.
    fnet_core_bench.stream_copy(target.ctypes.data, source.ctypes.data, size)
    assert (target[:size] == source[:size]).all()
    assert not target[size:].any()


@pytest.mark.parametrize(
    "shape", [(8, 128, 256), (2, 1024, 256), (3, 700, 130), (2, 2048, 768)], ids=str
)
@pytest.mark.parametrize("isa", fnet_core_bench.isas().split(","))
def test_rounds_of_a_batch_below_the_number_of_slots(isa: str, shape: tuple[int, ...]) -> None:
    """Two groups of two rounds, one more for LayerNorm's gradient, and none for its sums."""
    assert fnet_core_bench.set_isa(isa)
    found = {
        slots: [
            len(fnet_core_bench.cores(*shape, slots, 1, backward)[0][0])
            for backward in (False, True)
        ]
        for slots in (shape[0] + 1, 16, 64)
    }
    fnet_core_bench.set_isa("auto")
    for slots, (forward, backward) in found.items():
        assert 2 <= forward <= 4, slots
        assert 3 <= backward <= 5, slots


@pytest.mark.parametrize("backward", [False, True])
def test_extra_memory_of_many_slots(backward: bool) -> None:
    """At most 0.6 times x in both passes: the sums of LayerNorm's gradient come and go first."""
    for shape in ((2, 4096, 768), (8, 512, 768), (32, 512, 768), (64, 512, 768)):
        x = 4 * math.prod(shape)
        for slots in (4, 16, 64, 128):
            _, extra = fnet_core_bench.cores(*shape, slots, 0, backward)
            assert 0 < extra <= 0.6 * x, (shape, slots)
