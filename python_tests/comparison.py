"""The bars of accuracy, against float64.

float32: the error is at most twice that of `torch.fft` computed in float32 on the same input.
float64: the same, against extended precision. 16-bit: at most twice the error of rounding the exact
result to that dtype. Errors are the largest over the tensor, so nothing averages out.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Where torch happens to make no error (lengths of 1 or 2), this many units in the last place of
#: the largest number that is rounded are allowed instead.
FLOOR_ULPS = 2.0


def norm_magnitude(x: Tensor, eps: float = 0.0) -> float:
    """The rounded numbers behind a LayerNorm result, in units of that result.

    The transform rounds relative to the whole sequence u = x + M(x), and LayerNorm divides a row by
    its own deviation: where hidden is small some row's is far below the rest (hidden 4: a tenth),
    and any implementation's rounding, torch's too, shows there that much larger.
    """
    u = x.double() + torch.fft.fft2(x.double()).real
    deviation = (u.var(-1, unbiased=False) + eps).sqrt()
    return float((u.square().mean((-2, -1)).sqrt() / deviation.amin(-1)).max())


def largest_error(result: Tensor, truth: Tensor) -> float:
    """Largest absolute difference; infinite where `result` is not finite."""
    difference = (result.detach().double() - truth).abs()
    return float(difference.nan_to_num(nan=float("inf")).max())


def allowed_error(
    truth: Tensor, baseline: Tensor | None, dtype: torch.dtype, magnitude: float = 0.0
) -> float:
    """The bar; `baseline` is torch's result in `dtype`, which 16-bit dtypes do not need."""
    if dtype in (torch.bfloat16, torch.float16):
        return 2 * largest_error(truth.to(dtype), truth) + 1e-6 * float(truth.abs().max())
    assert baseline is not None
    magnitude = max(magnitude, float(truth.abs().max()))
    floor = FLOOR_ULPS * torch.finfo(dtype).eps * magnitude
    return 2 * max(largest_error(baseline, truth), floor)


def assert_within_bar(
    result: Tensor,
    truth: Tensor,
    baseline: Tensor | None,
    what: str = "",
    magnitude: float = 0.0,
) -> None:
    """`result` meets the bar of its dtype."""
    assert result.shape == truth.shape, f"{what}: shape {tuple(result.shape)}"
    assert truth.any(), f"{what}: a comparison with zeros proves nothing"
    error = largest_error(result, truth)
    allowed = allowed_error(truth, baseline, result.dtype, magnitude)
    assert error <= allowed, f"{what}: error {error:.2e}, allowed {allowed:.2e}"
