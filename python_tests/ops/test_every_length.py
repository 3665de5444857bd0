"""Accuracy at every length up to 1100 on each axis, and at primes that models use."""

from __future__ import annotations

import pytest
import torch

from fnet_kernels import explain, fourier_mix, reference
from python_tests.helpers import exact
from python_tests.helpers.comparison import error_ratio

#: Rader (1009), Rader within Rader (1021, 1061), Bluestein (1019, 2039), and larger ones of each;
#: three primes (17 * 17 * 17).
#: Long axes that are convolved as a whole, beside short ones.
IN_PARTS = [(2053, 1), (18926, 3), (65537, 1), (65539, 6), (131071, 2), (200006, 1)]
LONGER = [1009, 1021, 1061, 1019, 2039, 3067, 4093, 4099, 8191, 4913]

DTYPES = [
    torch.float32,
    pytest.param(
        torch.float64,
        marks=pytest.mark.skipif(not exact.EXTENDED, reason="no extended precision here"),
    ),
]


def shape_of(length: int, axis: str, other: int) -> tuple[int, int, int]:
    """Enough sequences for typical errors."""
    batch = 2 + 512 // length
    return (batch, length, other) if axis == "seq" else (batch, other, length)


def ratio(shape: tuple[int, int, int], dtype: torch.dtype) -> float:
    x = torch.randn(shape, dtype=torch.float64).to(dtype)
    expected = exact.mix(exact.widened(x))
    baseline = reference.fourier_mix(x)
    return error_ratio(expected, baseline, dtype)(fourier_mix(x))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("axis", ["seq", "hidden"])
@pytest.mark.parametrize("first", range(1, 1101, 100))
def test_every_length(first: int, axis: str) -> None:
    for length in range(first, first + 100):
        found = ratio(shape_of(length, axis, 6), torch.float32)
        assert found <= 1, f"{axis} {length}: {found:.2f} times the allowed error"


@pytest.mark.parametrize("axis", ["seq", "hidden"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", LONGER)
def test_longer_lengths(length: int, dtype: torch.dtype, axis: str) -> None:
    shape = shape_of(length, axis, 16)
    assert explain(shape, dtype=dtype).path == "kernels"
    found = ratio(shape, dtype)
    assert found <= 1, f"{found:.2f} times the allowed error"


@pytest.mark.parametrize("axis", ["seq", "hidden"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("length", "other"), IN_PARTS)
def test_lengths_in_parts(length: int, other: int, dtype: torch.dtype, axis: str) -> None:
    shape = (1, length, other) if axis == "seq" else (1, other, length)
    explanation = explain(shape, dtype=dtype)
    if length > 1 << 16:
        assert explanation.lanes == f"parts of {axis}"
        assert f"{length} (Bluestein: " in str(explanation)
    found = ratio(shape, dtype)
    assert found <= 1, f"{found:.2f} times the allowed error"


def test_a_length_has_no_kernels_only_beyond_the_bound() -> None:
    assert all(explain((1, length, 2)).path == "kernels" for length in range(1, 3000))
    for seq in (65521, 65537, 1_048_573, 2039 * 2053, 4_194_304):  # primes, two of them, and 2^22
        assert explain((1, seq, 2)).path == "kernels"
    for seq in (1_048_583, 4_194_305):  # the next prime, and 2^22 + 1
        beyond = explain((1, seq, 2))
        assert beyond.path == "general"
        assert f"seq {seq} is beyond the bounds of the kernels" in beyond.why
