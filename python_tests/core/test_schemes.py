"""Each scheme, which is what the lanes hold, on every instruction set and at shapes of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from python_tests.helpers.core_arrays import (
    assert_close,
    normalised,
    numbers,
    rms_normalised,
    transform,
)

core = pytest.importorskip("fnet_core_test", reason="not built: run `make core-test`")

TILES, SEQUENCES, LONG_SEQ, LONG_HIDDEN = range(4)
#: By scheme: batch, seq, hidden. Fewer and more sequences than lanes, a hidden of 1, single rows of
#: even and odd length, convolutions; splits that do and do not fill vectors, and rows and columns
#: that share no line; long axes that are convolved as a whole; more lines than pieces of the fold.
SHAPES = {
    SEQUENCES: [
        (1, 1, 1),
        (3, 1, 9),
        (37, 9, 1),
        (5, 1, 2),
        (17, 1, 64),
        (9, 1, 92),
        (17, 2, 2),
        (5, 7, 64),
        (33, 33, 15),
        (16, 65, 40),
        (2, 17, 19),
        (4, 46, 10),
    ],
    LONG_SEQ: [
        (1, 256, 1),
        (2, 400, 2),
        (3, 288, 7),
        (1, 1250, 8),
        (2, 512, 33),
        (1, 324, 17),
        (1, 1003, 3),
        (2, 388, 2),
        (1, 288, 130),
        (1, 263, 1),
        (2, 394, 17),
        (3, 1021, 2),
    ],
    LONG_HIDDEN: [
        (1, 1, 256),
        (2, 2, 400),
        (3, 7, 288),
        (1, 8, 1250),
        (2, 33, 512),
        (1, 17, 324),
        (1, 130, 289),
        (1, 1, 263),
        (2, 34, 394),
        (3, 4, 1021),
    ],
}
CASES = [(scheme, shape) for scheme, shapes in SHAPES.items() for shape in shapes]
PRECISIONS = [("float32", 1e-5), ("float64", 1e-13)]


@pytest.fixture(params=core.isas().split(","), autouse=True)
def isa(request: pytest.FixtureRequest) -> Iterator[None]:
    assert core.set_isa(request.param)
    yield
    core.set_isa("auto")


@pytest.mark.parametrize(("scheme", "shape"), CASES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_epilogues(scheme: int, shape: tuple[int, ...], dtype: str, tolerance: float) -> None:
    x = numbers(*shape).astype(dtype)
    m = transform(x)
    assert_close(core.mix(x, dtype, 0, scale=-0.5, scheme=scheme)[0], -0.5 * m, tolerance)
    assert_close(core.mix(x, dtype, 1, scheme=scheme)[0], x + m, tolerance)
    weight, bias = numbers(2, shape[-1], seed=1).astype(dtype)
    eps = float(shape[1] * shape[2])  # a short row may have no variance
    y, rows, rstd = core.mix(x, dtype, 2, eps=eps, weight=weight, bias=bias, scheme=scheme)
    expected = normalised(x + m, eps)
    assert np.abs(rows - expected).max() <= tolerance * 3
    assert np.abs(y - (expected * weight + bias)).max() <= tolerance * 10
    assert_close(rstd, 1 / np.sqrt((x + m).var(-1) + eps), tolerance)


@pytest.mark.parametrize(("scheme", "shape"), CASES, ids=str)
def test_strides_and_row_scale(scheme: int, shape: tuple[int, ...]) -> None:
    batch, seq, hidden = shape
    x = numbers(batch, seq + 1, hidden + 9).astype(np.float32)[:, 1:, 7 : 7 + hidden]
    factor = np.abs(numbers(batch, seq, seed=1)).astype(np.float32) + 0.1
    scaled = x * factor[..., None]
    y = core.mix(x, epilogue=1, row_scale=factor, scheme=scheme)[0]
    assert_close(y, scaled + transform(scaled), 1e-5)


@pytest.mark.parametrize(("scheme", "shape"), CASES, ids=str)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_storage(scheme: int, shape: tuple[int, ...], dtype: str) -> None:
    widen, narrow = getattr(core, f"widen_{dtype}"), getattr(core, f"narrow_{dtype}")
    bits = narrow(numbers(*shape).ravel().astype(np.float32)).reshape(shape)
    x = widen(bits.ravel()).reshape(shape)
    y = widen(core.mix(bits, dtype, scheme=scheme)[0].ravel()).reshape(shape)
    assert np.abs(y - transform(x)).max() <= 2.0**-8 * np.abs(transform(x)).max()


BLOCK_CASES = [(TILES, (2, 64, 96)), (TILES, (3, 37, 50)), (TILES, (1, 9, 3)), *CASES]


@pytest.mark.parametrize(("scheme", "shape"), BLOCK_CASES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_the_other_blocks(
    scheme: int, shape: tuple[int, ...], dtype: str, tolerance: float
) -> None:
    """A residual with strides of its own, pre-norm with either norm, RMSNorm after the sum."""
    batch, seq, hidden = shape
    x = numbers(*shape).astype(dtype) + 0.5
    residual = numbers(batch, seq + 1, hidden + 9, seed=2).astype(dtype)[:, 1:, 7 : 7 + hidden]
    weight, bias = numbers(2, hidden, seed=1).astype(dtype)
    options = {"dtype": dtype, "scale": -0.5, "eps": 0.5, "scheme": scheme, "slots": 2}
    m = -0.5 * transform(x)
    assert_close(core.mix(x, epilogue=1, residual=residual, **options)[0], residual + m, tolerance)
    for rms in (False, True):
        rows = rms_normalised(x, 0.5) if rms else normalised(x, 0.5)
        expected = x - 0.5 * transform(rows * weight + bias)
        given = {**options, "weight": weight, "bias": bias, "norm_first": True, "rms": rms}
        y = core.mix(x, epilogue=1, **given)[0]
        assert_close(y, expected, tolerance)
        assert (core.mix(x, epilogue=1, **{**given, "slots": 3})[0] == y).all()
        assert_close(
            core.mix(x, epilogue=1, residual=residual, **given)[0],
            residual - x + expected,
            tolerance,
        )
    eps = float(seq * hidden)
    options |= {"eps": eps, "weight": weight, "rms": True}
    y, rows, rstd = core.mix(x, epilogue=2, **options)
    assert_close(rows, rms_normalised(x + m, eps), tolerance * 3)
    assert_close(y, rms_normalised(x + m, eps) * weight, tolerance * 10)
    assert_close(rstd, 1 / np.sqrt(np.square(x + m).mean(-1) + eps), tolerance)


@pytest.mark.parametrize(("scheme", "shape"), CASES, ids=str)
def test_bits_depend_on_neither_slots_nor_the_batch(scheme: int, shape: tuple[int, ...]) -> None:
    x = numbers(*shape).astype(np.float32)
    first = core.mix(x, epilogue=2, scheme=scheme)[0]
    for slots in (2, 3, 5):
        assert (core.mix(x, epilogue=2, slots=slots, scheme=scheme)[0] == first).all()
    assert (core.mix(x[-1:], epilogue=2, scheme=scheme)[0] == first[-1:]).all()


@pytest.mark.parametrize(
    "shape", [(18, 3, 96), (8, 3, 96), (8, 1, 96), (3, 7, 288), (2, 288, 32)], ids=str
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_streamed_outputs(shape: tuple[int, ...], dtype: str) -> None:
    x = numbers(*shape).astype(np.float32)
    x = core.narrow_bfloat16(x.ravel()).reshape(shape) if dtype == "bfloat16" else x
    schemes = (SEQUENCES, LONG_SEQ if shape[1] > shape[2] else LONG_HIDDEN)
    for scheme in schemes if max(shape) >= 256 else schemes[:1]:
        try:
            core.set_stream_bytes(x.nbytes + 1)
            plain = core.mix(x, dtype, 2, slots=2, scheme=scheme)
            core.set_stream_bytes(x.nbytes)
            streamed = core.mix(x, dtype, 2, slots=2, scheme=scheme)
        finally:
            core.set_stream_bytes(0)
        for a, b in zip(streamed, plain, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("scheme", SHAPES)
def test_a_nan_stays_in_its_sequence(scheme: int) -> None:
    x = numbers(*SHAPES[scheme][2]).astype(np.float32)
    bad = x.copy()
    bad[1, 0, 0] = np.nan
    found = core.mix(bad, epilogue=1, scheme=scheme)[0]
    expected = core.mix(x, epilogue=1, scheme=scheme)[0]
    for i in range(len(x)):
        assert np.isnan(found[i]).all() if i == 1 else (found[i] == expected[i]).all()


def test_the_plan_fills_the_lanes() -> None:
    shapes = {
        (8, 512, 768): "columns, then rows",
        (64, 8, 8): "sequences",
        (100000, 1, 64): "sequences",
        (1, 100000, 8): "parts of seq",
        (1, 2, 100000): "parts of hidden",
        (1, 65537, 768): "parts of seq",
        (1, 64, 64): "columns, then rows",
        (1, 10007, 128): "columns, then rows",
    }
    if core.widths()[0] > 4:
        shapes[1, 1, 10007] = "parts of hidden"  # convolved as a whole
    for shape, lanes in shapes.items():
        assert core.scheme(*shape, "float32") == lanes


def test_small_batches_take_half_vectors() -> None:
    """Sequences in progress: half of a long vector's lanes for one slot, or for each of three."""
    lanes = core.widths()[0]
    half = min(lanes, 8)
    for batch, slots, expected in ((half, 1, half), (3 * half, 3, 3 * half), (lanes, 1, lanes)):
        assert core.scheme(batch, 512, 7, "float32") == "sequences"
        assert core.plan(batch, 512, 7, "float32", slots)[-1] == expected


def test_two_slots_share_a_small_batch_whatever_its_scratch() -> None:
    """A group of at most eight each. More slots get scratch within 0.6 times x."""
    x, lanes = 4 * 40 * 1000 * 7, min(core.widths()[0], 8)
    assert core.scheme(40, 1000, 7, "float32") == "sequences"
    *_, extra, sequences = core.plan(40, 1000, 7, "float32", 2)
    assert sequences == 2 * lanes
    assert extra == pytest.approx(0.08 * lanes * x, rel=0.05)
    *_, extra, sequences = core.plan(40, 1000, 7, "float32", 16)
    assert sequences == 2 * lanes or (sequences > 2 * lanes and extra <= 0.6 * x)


def test_the_plan_of_a_batch_does_not_depend_on_slots() -> None:
    for slots in (1, 2, 7, 64):
        path, why, _, sequences = core.plan(100000, 1, 64, "float32", slots)
        assert (path, why) == ("kernels", "")
        assert sequences == slots * core.widths()[0]
