"""Accuracy on the CPU: at most twice the error of torch.fft, measured with more precision.

float32, float64: the root mean square error is at most twice that of `torch.fft` in the same dtype
on the same input. So is the largest error per sequence, as a root mean square over sequences. The
largest error of all varies by chance, for torch as well: it is at most twice torch's, or four units
in the last place of the largest number.
16 bits: the largest error is at most twice that of rounding the exact result to the dtype. Each
element is rounded once: its error is at most half a unit in its last place, plus twice the error of
`torch.fft` in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite

import numpy as np
import torch
from torch import Tensor

from python_tests.helpers.tolerances import MIN_ULPS, OUTLIER_ULPS

Exact = Tensor | np.ndarray
Measure = Callable[[Tensor], float]


def float64(t: Exact) -> Tensor:
    return torch.from_numpy(t.astype(np.float64)) if isinstance(t, np.ndarray) else t.double()


def difference(result: Tensor, exact: Exact) -> Tensor:
    """`result` - `exact` in float64, computed in the precision of `exact`."""
    wide = result.detach().double()
    return float64(wide.numpy() - exact if isinstance(exact, np.ndarray) else wide - exact)


def root_mean_square(t: Tensor) -> float:
    return float(t.square().mean().sqrt())


def largest(t: Tensor) -> float:
    return float(t.abs().max())


def largest_of_a_sequence(t: Tensor) -> float:
    """The root mean square over sequences of the largest absolute value in [seq, hidden]."""
    return root_mean_square(t.abs().amax((-2, -1)))


def half_ulps(exact: Tensor, dtype: torch.dtype) -> Tensor:
    """The largest possible error of rounding each element to `dtype`."""
    limits = torch.finfo(dtype)
    _, exponent = torch.frexp(exact)
    ulps = torch.exp2(exponent - 1.0) * limits.eps
    return ulps.clamp_min(limits.smallest_normal * limits.eps) / 2


def worst_ratio(limits: list[tuple[Measure, float]], exact: Exact, dtype: torch.dtype) -> Measure:
    """Return a function that gives the worst ratio of a measured error of a result to its limit."""

    def ratio(result: Tensor) -> float:
        assert result.dtype == dtype
        error = difference(result, exact)
        ratios = [measure(error) / limit for measure, limit in limits]
        return max(ratios) if all(map(isfinite, ratios)) else inf

    return ratio


def error_ratio(exact: Exact, baseline: Tensor, dtype: torch.dtype) -> Measure:
    """Return a function that gives the error of a result in `dtype` over the allowed error.

    `baseline` is torch's result in that dtype, or in float32 for 16 bits.
    """
    assert exact.any(), "a comparison with zeros proves nothing"
    assert baseline.dtype == torch.promote_types(dtype, torch.float32)
    wide, torchs = float64(exact), difference(baseline, exact)
    ulp = torch.finfo(baseline.dtype).eps
    assert largest(torchs) < 1e5 * ulp * largest(wide), "baseline and exact result do not match"

    def allowed(measure: Measure, ulps: float = MIN_ULPS) -> float:
        return 2 * max(measure(torchs), ulps * ulp * measure(wide))

    if dtype.itemsize == 2:
        elementwise = half_ulps(wide, dtype) + allowed(largest)
        rounding = 2 * largest(wide.to(dtype).double() - wide) + allowed(largest)
        return worst_ratio(
            [(lambda e: largest(e / elementwise), 1), (largest, rounding)], exact, dtype
        )
    limits = [
        (root_mean_square, allowed(root_mean_square)),
        (largest, allowed(largest, OUTLIER_ULPS)),
    ]
    if wide.ndim > 2:
        limits += [(largest_of_a_sequence, allowed(largest_of_a_sequence))]
    return worst_ratio(limits, exact, dtype)


def gradient_error_ratio(exact: Exact, baseline: Tensor, dtype: torch.dtype) -> Measure:
    """Like `error_ratio`, for gradients from normalised rows and a gradient in the same dtype.

    With 16 bits these inputs add two roundings: the root mean square error is sqrt(3) times that of
    rounding the result. At most twice that is allowed, and for no element more than the dtype's eps
    times the largest value.
    """
    if dtype.itemsize > 2:
        return error_ratio(exact, baseline, dtype)
    assert exact.any(), "a comparison with zeros proves nothing"
    wide = float64(exact)
    rounding = root_mean_square(wide.to(dtype).double() - wide)
    limit = torch.finfo(dtype).eps * largest(wide)
    return worst_ratio([(root_mean_square, 2 * rounding), (largest, limit)], exact, dtype)


def assert_accurate(result: Tensor, exact: Exact, baseline: Tensor, what: str = "") -> None:
    """The error of `result` is within the limits of its dtype."""
    assert result.shape == exact.shape, f"{what}: shape {tuple(result.shape)}"
    ratio = error_ratio(exact, baseline, result.dtype)(result)
    assert ratio <= 1, f"{what}: {ratio:.2f} times the allowed error"
