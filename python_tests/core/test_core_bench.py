"""fnet_core_bench: what bench/passes.py times."""

from __future__ import annotations

import fnet_core_bench
import pytest

KERNELS = ("seq_fft", "row_fft", "norm_grad")


@pytest.mark.parametrize("isa", fnet_core_bench.isas().split(","))
def test_every_kernel_is_timed_beside_a_copy(isa: str) -> None:
    assert fnet_core_bench.set_isa(isa)
    seq, hidden, rounds = 64, 48, 5
    found = fnet_core_bench.passes(3, seq, hidden, rounds)
    fnet_core_bench.set_isa("auto")
    assert set(found) == {*KERNELS, *(f"copy as {kernel}" for kernel in KERNELS)}
    x = 4 * seq * hidden
    for name, (moved, times) in found.items():
        assert len(times) == rounds, name
        assert all(t > 0 for t in times), name
        assert x <= moved <= 4 * x, name
    assert found["norm_grad"][0] == 3 * x
    # x in; about half of it out, rounded up to whole bands.
    assert 1.5 * x < found["seq_fft"][0] < 2.2 * x
    for kernel in KERNELS:
        assert abs(found[f"copy as {kernel}"][0] - found[kernel][0]) <= 2


def test_a_larger_sequence_takes_longer() -> None:
    small, large = (fnet_core_bench.passes(2, n, 64, 20) for n in (64, 1024))
    for kernel in KERNELS:
        assert min(large[kernel][1]) > 4 * min(small[kernel][1]), kernel
