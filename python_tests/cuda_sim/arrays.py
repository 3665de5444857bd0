"""NumPy arrays of the stored dtypes, the epilogues, and the accuracy check of simulated kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from python_tests.helpers.definition import Array, hartley, mix, normalised
from python_tests.helpers.tolerances import allowed_error
from tools.cuda_sim import STORAGE, store

EPS = 1e-12


def compute_type(dtype: str) -> np.dtype:
    """The dtype in which the kernels compute."""
    return np.dtype(np.float64 if dtype == "float64" else np.float32)


def load(stored: Array, dtype: str) -> Array:
    """Convert stored values to float64."""
    if dtype == "bfloat16":
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float64)


def fetch(raw: Array, dtype: str, shape: tuple[int, ...]) -> Array:
    """Convert bytes that a kernel wrote to float64."""
    return load(np.asarray(raw).view(STORAGE[dtype]).reshape(shape), dtype)


#: The transforms by number.
TRANSFORMS = (mix, hartley)


def epilogue(
    kind: int, x: Array, scale: float, weight: Array, bias: Array, transform: int = 0
) -> Array:
    """The operator by kind: 0 the transform, 1 with residual, 2 with residual and LayerNorm."""
    m = x.dtype.type(scale) * TRANSFORMS[transform](x)
    if kind == 0:
        return m
    return x + m if kind == 1 else normalised(x + m, EPS)[0] * weight + bias


def largest_error(result: Array, expected: Array) -> float:
    """Largest absolute difference; infinite if `result` is not finite."""
    error = np.abs(result - expected)
    return float(np.where(np.isfinite(error), error, np.inf).max())


def assert_accurate(result: Array, expected: Array, baseline: Array | None, dtype: str) -> None:
    """The error of `result` is allowed; `baseline` is the result of a float32 library."""
    assert result.shape == expected.shape
    largest = float(np.abs(expected).max())
    assert largest > 0, "a comparison with zeros proves nothing"
    allowed = allowed_error(
        dtype,
        largest,
        largest_error(load(store(expected, dtype), dtype), expected),
        None if baseline is None else largest_error(baseline, expected),
    )
    error = largest_error(result, expected)
    assert error <= allowed, f"error {error:.2e}, allowed {allowed:.2e}"


def assert_gradients(
    output: dict[str, Any],
    formula: Callable[[type], tuple[Array, ...]],
    dtype: str,
    shape: tuple[int, int],
) -> None:
    """The du, dweight and dbias of `output` agree with `formula` in float64.

    Means and sums cancel larger numbers, whose rounding errors set a floor: that of the formula in
    float32.
    """
    shapes = {"du": shape, "dweight": shape[1:], "dbias": shape[1:]}
    results = [fetch(output[name], dtype, of) for name, of in shapes.items()]
    for result, exact, narrow in zip(
        results, formula(np.float64), formula(np.float32), strict=True
    ):
        assert_accurate(result, exact, narrow, dtype)
