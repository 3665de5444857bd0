"""The plan of a CPU call, and each of its two passes alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

core = pytest.importorskip("fnet_core_test", reason="not built: run `make core-test`")

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (16, 16), (33, 15), (65, 40), (26, 91), (40, 66)]
PRECISIONS = [("float32", 1e-5), ("float64", 1e-13)]


@pytest.fixture(params=core.isas().split(","), autouse=True)
def isa(request: pytest.FixtureRequest) -> Iterator[None]:
    assert core.set_isa(request.param)
    yield
    core.set_isa("auto")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape)


def half_spectrum(x: np.ndarray) -> np.ndarray:
    """G[k, m], the transform along seq of (x[n, m] + x[-n, -m]) / 2."""
    mirrored = np.roll(x[::-1, ::-1], 1, (0, 1))
    G = np.fft.fft(x + mirrored, axis=0) / 2
    return G[: x.shape[0] // 2 + 1, : x.shape[1] // 2 + 1]


def assert_close(a: np.ndarray, b: np.ndarray, tolerance: float) -> None:
    assert np.abs(b).max() > 0
    assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_the_seq_pass(shape: tuple[int, int], dtype: str, tolerance: float, slots: int) -> None:
    x = numbers(2, *shape).astype(dtype)
    seq_pass = core.seq_pass32 if dtype == "float32" else core.seq_pass64
    assert_close(seq_pass(x, dtype, -0.5, slots), -0.5 * half_spectrum(x[1]), tolerance)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_the_row_pass(shape: tuple[int, int], dtype: str, tolerance: float, slots: int) -> None:
    x = numbers(*shape)
    row_pass = core.row_pass32 if dtype == "float32" else core.row_pass64
    y = row_pass(half_spectrum(x), shape[1], shape[0], slots)
    assert_close(y[0], np.fft.fft2(x).real, tolerance)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((512, 768), ""),
        ((17, 19), ""),
        ((65537, 768), ""),
        ((512, 2 * 65537), ""),
        ((1_048_583, 768), "seq"),
        ((512, 2 * 1_048_583), "hidden"),
        ((512, 1 << 23), "hidden"),
        ((65537, 257 * 263), "seq and hidden"),
    ],
)
def test_the_plan_has_path_and_reason(shape: tuple[int, int], reason: str) -> None:
    path, why, workspace, _ = core.plan(4, *shape, "float32", 2)
    assert (path, why) == ("general" if reason else "kernels", reason)
    assert workspace > 0
    assert core.plan(4, 512, 768, "float32", 2)[-1] == 2
    assert core.plan(3, 2048, 768, "float32", 2)[-1] == 1  # all slots share each sequence


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(
    "shape",
    [(128, 768), (512, 768), (1000, 768), (4096, 768), (512, 1024), (2048, 128), (1024, 256)],
    ids=str,
)
def test_extra_memory(shape: tuple[int, int], dtype: str) -> None:
    """At most 0.6 times x in the compute type on any number of threads, 1.4 times a single
    sequence, and 2 MB for x below 1 MB."""
    row = 8 if dtype == "float64" else 4
    for batch in (1, 2, 3, 5, 8, 17, 32, 64, 200):
        x = row * batch * shape[0] * shape[1]
        for slots in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128):
            if slots == 2 and batch < 4:
                continue  # each slot takes whole sequences
            *_, extra, _ = core.plan(batch, *shape, dtype, slots)
            limit = 2 << 20 if x < 1 << 20 else (1.4 if batch == 1 else 0.6) * x
            assert extra <= limit, (batch, slots)


@pytest.mark.parametrize(
    ("shape", "limit"),
    [
        ((65537, 1), 5.3),
        ((65537, 2), 2.7),
        ((65537, 64), 1.2),
        ((1 << 20, 1), 4.1),
        ((1 << 20, 4), 2.1),
        ((1, 1 << 20), 8.1),
    ],
    ids=str,
)
def test_extra_memory_of_lines_in_parts(shape: tuple[int, int], limit: float) -> None:
    """The lines, weight and bias, and of each of two slots a line or a row of y."""
    *_, extra, _ = core.plan(1, *shape, "float32", 2)
    assert extra <= limit * 4 * shape[0] * shape[1]


@pytest.mark.parametrize("slots", [1, 2, 64])
@pytest.mark.parametrize(
    "shape",
    [
        (12, 1, 16307),
        (16, 16487, 1),
        (18, 15887, 1),
        (12, 1, 21974),
        (9, 1, 32768),
        (16, 1, 65536),
        (13, 1, 78626),
        (40, 1000, 7),
        (12, 2, 4597),
    ],
    ids=str,
)
def test_extra_memory_of_sequences_in_lanes(shape: tuple[int, ...], slots: int) -> None:
    """At most 2.7 times x or 10 MB: two slots get scratch in any case."""
    *_, extra, _ = core.plan(*shape, "float32", slots)
    assert extra <= max(10 << 20, 2.7 * 4 * math.prod(shape))


@pytest.mark.parametrize("seq", [128, 512, 2048])
def test_slots_share_several_sequences(seq: int) -> None:
    """If sequences are fewer than slots, at most two groups of them, and so four rounds."""
    for batch in (8, 16, 32):
        sequences = core.plan(batch, seq, 768, "float32", 64)[-1]
        assert batch / 2 <= sequences <= batch, batch


def test_y_lends_the_seq_pass_its_scratch() -> None:
    """Otherwise all slots share two long sequences one after the other."""
    assert core.plan(2, 4096, 768, "float32", 128)[-1] == 2


@pytest.mark.parametrize(
    "sizes",
    [
        (-1, 4, 4),
        (1, -4, 4),
        (2**62, 2**62, 8),
        (1, 2**40, 2**40),
        (0, 2**63 - 1, 2),
        (1, 2**61, 4),
        (2**63 - 1, 1, 1),
    ],
)
def test_hostile_sizes_get_a_reason(sizes: tuple[int, int, int]) -> None:
    path, why, workspace, _ = core.plan(*sizes, "float32", 2)
    assert (path, why, workspace) == ("general", "sizes", 0)


def test_empty_axes_are_no_error() -> None:
    none = [(0, 4, 4), (0, 512, 768), (0, 1, 65537), (0, 65537, 2)]  # in every scheme
    for sizes in (*none, (3, 0, 4), (3, 4, 0), (0, 0, 0)):
        for slots in (1, 2, 64):
            assert core.plan(*sizes, "float32", slots)[1] != "sizes"
