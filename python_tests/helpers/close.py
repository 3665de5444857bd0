"""Comparison by dtype: the largest error relative to the largest expected value."""

from __future__ import annotations

import torch
from torch import Tensor

from python_tests.helpers.tolerances import ROUNDINGS


def tolerance(dtype: torch.dtype) -> float:
    """The relative error that `assert_close` allows."""
    return ROUNDINGS[str(dtype).removeprefix("torch.")]


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value; NaN if `actual` contains NaN."""
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).abs().max() / expected.abs().max())


def assert_close(actual: Tensor, expected: Tensor, factor: float = 1.0) -> None:
    """The error of `actual` is at most `factor` times the tolerance of its dtype."""
    assert actual.shape == expected.shape
    if expected.numel() == 0:
        return
    assert expected.any(), "a comparison with zeros proves nothing"
    error = relative_error(actual, expected)
    assert error <= factor * tolerance(actual.dtype), f"relative error {error:.1e}"
