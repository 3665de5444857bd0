"""The operators and the bars of accuracy on a device, against float64.

These are the bars that runs on devices have met; those of comparison.py, for the CPU, are tighter
and would replace them after a run that shows that they hold here too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fnet_kernels import fourier_mix, fused_fourier_mix, reference
from fnet_kernels._ops.load import operators

#: Where torch happens to make no error (lengths of 1 or 2), this many units in the last place of
#: the largest number that is rounded are allowed instead.
FLOOR_ULPS = 2.0


def residual(x: Tensor) -> Tensor:
    return operators.fourier_mix(x, 1.0, True)


def reference_residual(x: Tensor) -> Tensor:
    return x + reference.fourier_mix(x)


OPS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "mix": (fourier_mix, reference.fourier_mix),
    "residual": (residual, reference_residual),
    "norm": (fused_fourier_mix, reference.fused_fourier_mix),
}


def norm_is_defined(op: str, x: Tensor) -> bool:
    """Rows of one number, or of equal ones, have no variance: eps then magnifies rounding."""
    if op != "norm":
        return True
    u = reference_residual(x.double())
    return float(u.var(-1, unbiased=False).min()) > 1e-3 * float(u.square().mean())


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
