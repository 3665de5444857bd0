"""16-bit conversions: every pattern widened, and rounding to nearest even."""

from __future__ import annotations

import numpy as np
import pytest

core = pytest.importorskip("fnet_core_test", reason="not built: run `make core-test`")

PATTERNS = np.arange(1 << 16, dtype=np.uint16)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bits, all NaN being one."""
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


def test_rounding() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1 << 32, 200_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    # All ties of float16, and their neighbours.
    middle = core.widen_float16(PATTERNS[:0x7C00]).astype(np.float64)
    ties = ((middle[1:] + middle[:-1]) / 2).astype(np.float32)
    up, down = np.nextafter(ties, np.float32(9e9)), np.nextafter(ties, np.float32(0))
    values = np.concatenate([values, ties, up, down, -ties, np.float32([65519.9, 65520, 1e30])])
    with np.errstate(over="ignore"):
        truth = values.astype(np.float16)
    ours = core.narrow_float16(values).view(np.float16)
    assert ((ours.view(np.uint16) == truth.view(np.uint16)) | np.isnan(truth)).all()
    assert np.isnan(ours[np.isnan(truth)]).all()

    ours = core.widen_bfloat16(core.narrow_bfloat16(values))
    finite = np.isfinite(values) & (np.abs(values) < 3.3e38)
    bits = values.view(np.uint32)
    floor = (bits & 0xFFFF0000).view(np.float32).astype(np.float64)
    ceiling = ((bits & 0xFFFF0000) + 0x10000).view(np.float32).astype(np.float64)
    wide = values.astype(np.float64)
    below, above = np.abs(wide - floor), np.abs(ceiling - wide)
    even = (bits >> 16) % 2 == 0
    nearest = np.where((below < above) | ((below == above) & even), floor, ceiling)
    assert (ours[finite] == nearest[finite]).all()
