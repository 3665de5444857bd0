"""The bars of accuracy, against more precision (exact.py): twice the error of torch.fft.

float32, float64: the root mean square error is at most twice that of `torch.fft` in that dtype on
the same input, and so is the largest error of a sequence, in the root mean square over sequences.
(The largest of all is a matter of chance, torch's as well as ours: at most twice torch's, or four
units in the last place of the largest number.)
16 bits: the largest error is at most twice that of rounding the exact result to that dtype, and
each element is rounded once: off by half a unit in its own last place at most, beside twice the
error of `torch.fft` in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite

import numpy as np
import torch
from torch import Tensor

from python_tests.helpers.tolerances import LEAST_ULPS, OUTLIER_ULPS

Truth = Tensor | np.ndarray
Measure = Callable[[Tensor], float]


def float64(t: Truth) -> Tensor:
    return torch.from_numpy(t.astype(np.float64)) if isinstance(t, np.ndarray) else t.double()


def difference(result: Tensor, truth: Truth) -> Tensor:
    """In float64, of numbers that may have more precision."""
    wide = result.detach().double()
    return float64(wide.numpy() - truth if isinstance(truth, np.ndarray) else wide - truth)


def root_mean_square(t: Tensor) -> float:
    return float(t.square().mean().sqrt())


def largest(t: Tensor) -> float:
    return float(t.abs().max())


def largest_of_a_sequence(t: Tensor) -> float:
    """The root mean square over sequences of the largest in [seq, hidden]."""
    return root_mean_square(t.abs().amax((-2, -1)))


def half_ulps(exact: Tensor, dtype: torch.dtype) -> Tensor:
    """The most that rounding to `dtype` may change each element."""
    limits = torch.finfo(dtype)
    _, exponent = torch.frexp(exact)
    ulps = torch.exp2(exponent - 1.0) * limits.eps
    return ulps.clamp_min(limits.smallest_normal * limits.eps) / 2


def judge(bars: list[tuple[Measure, float]], truth: Truth, dtype: torch.dtype) -> Measure:
    """For results in `dtype`: the worst ratio of what is measured of their error to a bar."""

    def ratio(result: Tensor) -> float:
        assert result.dtype == dtype
        error = difference(result, truth)
        ratios = [measure(error) / most for measure, most in bars]
        return max(ratios) if all(map(isfinite, ratios)) else inf

    return ratio


def bar(truth: Truth, baseline: Tensor, dtype: torch.dtype) -> Measure:
    """For results in `dtype`: their error over what is allowed, at its worst.

    `baseline` is what torch gives in that dtype, or in float32 for 16 bits.
    """
    assert truth.any(), "a comparison with zeros proves nothing"
    assert baseline.dtype == torch.promote_types(dtype, torch.float32)
    exact, torchs = float64(truth), difference(baseline, truth)
    ulp = torch.finfo(baseline.dtype).eps
    assert largest(torchs) < 1e5 * ulp * largest(exact), "baseline and truth are not of one thing"

    def allowed(measure: Measure, ulps: float = LEAST_ULPS) -> float:
        return 2 * max(measure(torchs), ulps * ulp * measure(exact))

    if dtype.itemsize == 2:
        at_each = half_ulps(exact, dtype) + allowed(largest)
        rounding = 2 * largest(exact.to(dtype).double() - exact) + allowed(largest)
        return judge([(lambda e: largest(e / at_each), 1), (largest, rounding)], truth, dtype)
    bars = [
        (root_mean_square, allowed(root_mean_square)),
        (largest, allowed(largest, OUTLIER_ULPS)),
    ]
    if exact.ndim > 2:
        bars += [(largest_of_a_sequence, allowed(largest_of_a_sequence))]
    return judge(bars, truth, dtype)


def bar_of_gradient(truth: Truth, baseline: Tensor, dtype: torch.dtype) -> Measure:
    """As bar(), for what follows from normalised rows and a gradient of the same dtype.

    With 16 bits these are two more roundings: a root mean square error of the square root of 3
    times that of rounding the result. At most twice that, and nowhere above the dtype's eps times
    the largest number.
    """
    if dtype.itemsize > 2:
        return bar(truth, baseline, dtype)
    assert truth.any(), "a comparison with zeros proves nothing"
    exact = float64(truth)
    rounding = root_mean_square(exact.to(dtype).double() - exact)
    most = torch.finfo(dtype).eps * largest(exact)
    return judge([(root_mean_square, 2 * rounding), (largest, most)], truth, dtype)


def assert_within_bar(result: Tensor, truth: Truth, baseline: Tensor, what: str = "") -> None:
    """`result` meets the bar of its dtype."""
    assert result.shape == truth.shape, f"{what}: shape {tuple(result.shape)}"
    found = bar(truth, baseline, result.dtype)(result)
    assert found <= 1, f"{what}: {found:.2f} times the error that the bar allows"
