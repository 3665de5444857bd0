"""The comparison of these tests: error relative to the largest true value, by dtype."""

from __future__ import annotations

from torch import Tensor

from python_tests.helpers.tolerances import ROUNDINGS


def relative_error(actual: Tensor, truth: Tensor) -> float:
    """Largest difference over the largest true value; NaN where `actual` has one."""
    actual, truth = actual.detach().double(), truth.detach().double()
    return float((actual - truth).abs().max() / truth.abs().max())


def assert_close(actual: Tensor, truth: Tensor, factor: float = 1.0) -> None:
    """`actual` is `truth` up to `factor` times the tolerance of the dtype of `actual`."""
    assert actual.shape == truth.shape
    if truth.numel() == 0:
        return
    assert truth.any(), "a comparison with zeros proves nothing"
    error = relative_error(actual, truth)
    assert error <= factor * ROUNDINGS[actual.dtype], f"relative error {error:.1e}"
