"""The tolerances of the tests.

Dtypes are given by name, because the tests of the CUDA simulator run without torch.
"""

from __future__ import annotations

#: Error over the largest expected value, about two roundings of that value.
ROUNDINGS = {
    "float64": 1e-14,
    "float32": 1e-6,
    "bfloat16": 2.0**-8,
    "float16": 2.0**-11,
}
#: For comparison.py, in units in the last place: the error assumed for torch where torch makes none
#: (lengths 1 and 2), and the allowed error of the single worst element of a tensor.
MIN_ULPS, OUTLIER_ULPS = 0.1, 2.0
#: For `allowed_error`, in units in the last place: the error assumed for a library that makes none.
FLOOR_ULPS = 2.0


def allowed_error(
    dtype: str,
    largest: float,
    rounding: float,
    baseline: float | None,
    magnitude: float = 0.0,
) -> float:
    """Allowed absolute error of the CUDA kernels, on a device or simulated, against float64.

    float32: twice the error of a float32 FFT library on the same input. 16 bits: twice the error of
    rounding the expected result, plus 1e-6 of the largest value. float64: 1e-13 of that value. The
    tolerances of comparison.py, for the CPU, are stricter.

    Args:
        dtype: name of the result's dtype.
        largest: largest absolute value of the expected result.
        rounding: largest error of rounding the expected result to `dtype`.
        baseline: largest error of the library's result; needed for float32 only.
        magnitude: largest rounded intermediate value, if it exceeds `largest`.
    """
    if dtype in ("bfloat16", "float16"):
        return 2 * rounding + 1e-6 * largest
    if dtype == "float64":
        return 1e-13 * largest
    assert baseline is not None
    return 2 * max(baseline, FLOOR_ULPS * 2.0**-23 * max(magnitude, largest))
