"""16-bit conversions, scalar and in vectors: widening of all patterns, rounding to nearest even."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

core = pytest.importorskip("fnet_core_test", reason="not built: run `make core-test`")

PATTERNS = np.arange(1 << 16, dtype=np.uint16)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether all bits are equal, where any NaN equals any other."""
    nan = np.isnan(a) & np.isnan(b)
    return bool(((a.view(np.uint32) == b.view(np.uint32)) | nan).all())


def test_widening() -> None:
    assert same(core.widen_float16(PATTERNS), PATTERNS.view(np.float16).astype(np.float32))
    wide = (PATTERNS.astype(np.uint32) << 16).view(np.float32)
    assert same(core.widen_bfloat16(PATTERNS), wide)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_a_round_trip_changes_nothing(name: str) -> None:
    wide = getattr(core, f"widen_{name}")(PATTERNS)
    again = getattr(core, f"narrow_{name}")(wide)
    number = ~np.isnan(wide)
    assert (again[number] == PATTERNS[number]).all()
    assert np.isnan(getattr(core, f"widen_{name}")(again[~number])).all()


def values() -> np.ndarray:
    """All numbers of both dtypes, the ties between them, the neighbours of ties, and others."""
    rng = np.random.default_rng(0)
    anything = rng.integers(0, 1 << 32, 200_000, dtype=np.uint64).astype(np.uint32)
    bits = PATTERNS.astype(np.uint32) << 16
    half = core.widen_float16(PATTERNS[:0x7C00]).astype(np.float64)
    ties = ((half[1:] + half[:-1]) / 2).astype(np.float32)
    up, down = np.nextafter(ties, np.float32(9e9)), np.nextafter(ties, np.float32(0))
    return np.concatenate(
        [
            *(bits + low for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)),
            anything,
            *(x.view(np.uint32) for x in (ties, up, down, -ties, -up, -down)),
            core.widen_float16(PATTERNS).view(np.uint32),
            np.float32([65504, 65519.9, 65520, 65536, 1e30]).view(np.uint32),
        ],
        dtype=np.uint32,
    ).view(np.float32)


def nearest_bfloat16(x: np.ndarray) -> np.ndarray:
    """Rounds numbers, not NaN, to bfloat16 in float32: ties to even, too large ones to infinity."""
    floor = x.view(np.uint32) & np.uint32(0xFFFF0000)
    candidates = np.stack([floor, floor + np.uint32(0x10000)])
    wide = candidates.view(np.float32).astype(np.float64)
    wide[np.isinf(wide)] = np.copysign(2.0**128, wide[np.isinf(wide)])
    distance = np.abs(wide - x.astype(np.float64))
    odd = (floor >> 16) % 2 == 1
    up = (distance[1] < distance[0]) | ((distance[1] == distance[0]) & odd)
    return np.where(up, candidates[1], candidates[0]).view(np.float32)


def test_rounding() -> None:
    x = values()
    nan = np.isnan(x)
    with np.errstate(over="ignore"):
        expected = x[~nan].astype(np.float16)
    assert (core.narrow_float16(x[~nan]) == expected.view(np.uint16)).all()
    finite = np.isfinite(x)
    assert same(core.widen_bfloat16(core.narrow_bfloat16(x[finite])), nearest_bfloat16(x[finite]))
    for name in ("bfloat16", "float16"):
        narrow, widen = (getattr(core, f"{verb}_{name}") for verb in ("narrow", "widen"))
        assert np.isnan(widen(narrow(x[nan]))).all()
        assert np.isinf(widen(narrow(x[np.isinf(x)]))).all()


@pytest.fixture(params=core.isas().split(","))
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    assert core.set_isa(request.param)
    yield request.param
    core.set_isa("auto")


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
@pytest.mark.parametrize("one_by_one", [False, True])
def test_lanes_widen_like_scalars(name: str, one_by_one: bool) -> None:
    for shift in range(3):  # so that the last vector is incomplete
        bits = np.roll(PATTERNS, shift)[shift:]
        assert same(core.widen_lanes(name, bits, one_by_one), getattr(core, f"widen_{name}")(bits))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
@pytest.mark.parametrize("how", [{}, {"one_by_one": True}, {"streaming": True}], ids=str)
def test_lanes_round_like_scalars(name: str, how: dict[str, bool]) -> None:
    x = values()
    nan = np.isnan(x)
    # NaN from 16 bits or from arithmetic has a lower half of zeros (storage.h).
    x[nan] = (x[nan].view(np.uint32) & 0xFFFF0000 | 0x00400000).view(np.float32)
    x, nan = x[: len(x) // 64 * 64], nan[: len(x) // 64 * 64]
    found = core.narrow_lanes(name, x, **how)
    assert (found[~nan] == getattr(core, f"narrow_{name}")(x[~nan])).all()
    assert np.isnan(getattr(core, f"widen_{name}")(found[nan])).all()
