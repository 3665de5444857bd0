"""The kernel API on NumPy arrays between guards, on every instruction set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from python_tests.helpers.core_arrays import assert_close, normalised, numbers, transform

core = pytest.importorskip("fnet_core_test", reason="not built: run `make core-test`")

SHAPES = [
    (1, 1, 1),
    (2, 1, 9),
    (1, 9, 1),
    (3, 2, 2),
    (2, 16, 16),
    (1, 33, 15),
    (2, 65, 40),
    (1, 26, 91),
]


@pytest.fixture(params=core.isas().split(","), autouse=True)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    assert core.set_isa(request.param)
    yield request.param
    core.set_isa("auto")


def stored(x: np.ndarray, dtype: str) -> np.ndarray:
    """x in a NumPy dtype, or as the bits of a 16-bit dtype."""
    narrow = getattr(core, f"narrow_{dtype}", None)
    return narrow(x.ravel().astype(np.float32)).reshape(x.shape) if narrow else x.astype(dtype)


def hartley(x: np.ndarray) -> np.ndarray:
    return transform(x) - np.fft.fft2(x.astype(np.float64)).imag


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_epilogues(shape: tuple[int, ...], dtype: str, tolerance: float) -> None:
    x = numbers(*shape).astype(dtype)
    m = transform(x)
    assert_close(core.mix(x, dtype, 0, scale=-0.5)[0], -0.5 * m, tolerance)
    assert_close(core.mix(x, dtype, 1)[0], x + m, tolerance)
    weight, bias = numbers(2, shape[-1], seed=1).astype(dtype)
    y, rows, rstd = core.mix(x, dtype, 2, eps=0.5, weight=weight, bias=bias)
    expected = normalised(x + m, 0.5)
    assert np.abs(rows - expected).max() <= tolerance * 3
    assert np.abs(y - (expected * weight + bias)).max() <= tolerance * 10
    assert_close(rstd, 1 / np.sqrt((x + m).var(-1) + 0.5), tolerance)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_storage(dtype: str) -> None:
    widen = getattr(core, f"widen_{dtype}")
    bits = stored(numbers(2, 33, 40), dtype)
    x = widen(bits.ravel()).reshape(bits.shape)
    y = widen(core.mix(bits, dtype)[0].ravel()).reshape(x.shape)
    assert np.abs(y - transform(x)).max() <= 2.0**-8 * np.abs(transform(x)).max()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("nan", [0x7FFF, 0xFFFF, 0x7F81 | 0x0400])
def test_no_nan_is_rounded_to_a_number(dtype: str, nan: int) -> None:
    """NaN of any bits, in x, in the factor of a row, in weight and bias."""
    widen = getattr(core, f"widen_{dtype}")
    x, row = stored(numbers(2, 16, 40), dtype), stored(numbers(40, seed=1), dtype)
    factor = np.ones((2, 16), np.float32)

    def y(epilogue: int, **rows: np.ndarray) -> np.ndarray:
        out = core.mix(rows.pop("x", x), dtype, epilogue, **rows)[0]
        return widen(out.ravel()).reshape(x.shape)

    assert not np.isnan(y(1)).any()
    bad = x.copy()
    bad[1, 3, 5] = nan
    for epilogue in range(3):
        assert np.isnan(y(epilogue, x=bad)).all((1, 2)).tolist() == [False, True]
    factor[0, 7] = np.array([0x7FFFFFFF], np.uint32).view(np.float32)[0]
    assert np.isnan(y(1, row_scale=factor)).all((1, 2)).tolist() == [True, False]
    wrong = row.copy()
    wrong[3] = nan
    for rows in ({"weight": wrong, "bias": row}, {"weight": row, "bias": wrong}):
        assert np.isnan(y(2, **rows)).all((0, 1)).tolist() == [i == 3 for i in range(40)]


def test_strides_and_row_scale() -> None:
    x = numbers(3, 41, 60).astype(np.float32)[:, 1:, 7:31]
    scale = np.abs(numbers(3, 40, seed=1)).astype(np.float32) + 0.1
    scaled = x * scale[..., None]
    assert_close(core.mix(x, epilogue=1, row_scale=scale)[0], scaled + transform(scaled), 1e-5)


SHARED = [
    *[(1, 40, 64), (5, 33, 24), (2, 7, 200), (1, 512, 768)],
    *[(3, 260, 100), (4, 98, 35), (9, 64, 250), (3, 700, 130)],
]
DTYPES = ["float32", "float64", "bfloat16"]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [*((shape, dtype) for dtype in DTYPES for shape in SHARED), ((5, 2048, 520), "float32")],
    ids=str,
)
def test_bits_do_not_depend_on_slots(shape: tuple[int, ...], dtype: str) -> None:
    """Slots take whole sequences, shared tiles, or parts of tiles if they are many.

    At 3x700x130 some of 16 slots have their scratch in y, or in spectra that are no longer read.
    The spectrum of 2048x520 exceeds 2 MB.
    """
    x = stored(numbers(*shape), dtype)
    first = core.mix(x, dtype, 2)
    for slots in (2, 3, 5, 16, 64):
        for mine, alone in zip(core.mix(x, dtype, 2, slots=slots), first, strict=True):
            assert mine.tobytes() == alone.tobytes(), slots


def test_unsupported_lengths_and_the_general_path() -> None:
    with pytest.raises(ValueError, match="unsupported length"):
        core.mix(np.zeros((1, 1_048_583, 1), np.float32))
    x = numbers(1, 1033, 3).astype(np.float32)
    spectrum = np.fft.rfft2(x).astype(np.complex64)
    assert_close(core.mix(x, epilogue=1, spectrum=spectrum, slots=2)[0], x + transform(x), 1e-5)


@pytest.mark.parametrize("shape", [*SHAPES, (2, 17, 19), (3, 2, 1)], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_hartley_takes_the_general_path(
    shape: tuple[int, ...], dtype: str, tolerance: float
) -> None:
    x = numbers(*shape).astype(dtype)
    with pytest.raises(ValueError, match="unsupported length"):
        core.mix(x, dtype, transform=1)
    spectrum = np.ascontiguousarray(np.fft.rfft2(x))
    options = {"spectrum": spectrum.astype(f"complex{2 * int(dtype[5:])}"), "transform": 1}
    first = core.mix(x, dtype, scale=-0.5, **options)[0]
    assert_close(first, -0.5 * hartley(x), tolerance)
    assert_close(core.mix(x, dtype, epilogue=1, **options)[0], x + hartley(x), tolerance)
    rows = core.mix(x, dtype, epilogue=2, eps=0.5, **options)[1]
    assert np.abs(rows - normalised(x + hartley(x), 0.5)).max() <= tolerance * 3
    for slots in (2, 3):
        again = core.mix(x, dtype, scale=-0.5, slots=slots, **options)[0]
        assert again.tobytes() == first.tobytes()


@pytest.fixture
def stream_bytes() -> Iterator[Callable[[int], None]]:
    yield core.set_stream_bytes
    core.set_stream_bytes(0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("hidden", [96, 98])
@pytest.mark.parametrize("epilogue", [0, 2])
def test_streamed_outputs(
    epilogue: int, hidden: int, dtype: str, stream_bytes: Callable[[int], None]
) -> None:
    """Rows of 96 are whole cache lines and are streamed, rows of 98 are not. The bits are equal."""
    x = stored(numbers(3, 65, hidden), dtype)
    stream_bytes(x.nbytes + 1)
    plain = core.mix(x, dtype, epilogue, slots=2)
    stream_bytes(x.nbytes)
    streamed = core.mix(x, dtype, epilogue, slots=2)
    for i in range(3 if epilogue == 2 else 1):
        assert streamed[i].tobytes() == plain[i].tobytes()


@pytest.mark.parametrize("hidden", [96, 98])
def test_streamed_outputs_of_hartley(hidden: int, stream_bytes: Callable[[int], None]) -> None:
    x = numbers(3, 65, hidden).astype(np.float32)
    options = {"spectrum": np.fft.rfft2(x).astype(np.complex64), "transform": 1}
    stream_bytes(x.nbytes + 1)
    plain = core.mix(x, **options)[0]
    stream_bytes(x.nbytes)
    assert core.mix(x, slots=2, **options)[0].tobytes() == plain.tobytes()


def test_the_last_level_cache_sets_the_streaming_limit(stream_bytes: Callable[[int], None]) -> None:
    default = core.stream_bytes()
    assert 4 << 20 <= default <= 16 << 20
    stream_bytes(123)
    assert core.stream_bytes() == 123
    stream_bytes(0)
    assert core.stream_bytes() == default
    info = Path("/proc/cpuinfo")
    processor = info.read_text() if info.exists() else ""
    sizes = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"))
    if sizes and ("GenuineIntel" in processor or " topoext " in processor):  # has cpuid leaves
        last = int(sizes[-1].read_text().strip().removesuffix("K")) << 10
        assert default == min(max(4 << 20, last // 8), 16 << 20)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (200, 33), (9000, 4)])
def test_norm_gradient(shape: tuple[int, int]) -> None:
    grad, weight = numbers(*shape).astype(np.float32), numbers(shape[1], seed=2).astype(np.float32)
    rows = normalised(numbers(*shape, seed=1), 1e-5).astype(np.float32)
    g = (grad * weight).astype(np.float64)
    expected = g - g.mean(-1, keepdims=True) - rows * (g * rows).mean(-1, keepdims=True)
    du, dweight, dbias = core.norm_grad(grad, rows, weight, slots=2)
    assert np.abs(du - expected).max() <= 1e-5
    assert np.abs(dweight - (grad * rows).sum(0, dtype=np.float64)).max() <= 1e-5 * shape[0]
    assert np.abs(dbias - grad.sum(0, dtype=np.float64)).max() <= 1e-5 * shape[0]
    for slots in (1, 3, 64):
        again = core.norm_grad(grad, rows, weight, slots=slots)
        for one, other in zip((du, dweight, dbias), again, strict=True):
            assert (one == other).all()
