"""The operators on a device, and the check of their accuracy against float64.

The limits are those that runs on devices have met. The limits for the CPU in helpers/comparison.py
are stricter and can replace them once a run on a device meets them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fnet_kernels import fourier_mix, fused_fourier_mix, hartley_mix, reference
from fnet_kernels._ops.load import operators
from python_tests.helpers.tolerances import allowed_error


def residual(x: Tensor) -> Tensor:
    return operators.fourier_mix(x, 1.0, True)


def reference_residual(x: Tensor) -> Tensor:
    return x + reference.fourier_mix(x)


OPS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "mix": (fourier_mix, reference.fourier_mix),
    "residual": (residual, reference_residual),
    "norm": (fused_fourier_mix, reference.fused_fourier_mix),
    "hartley": (hartley_mix, reference.hartley_mix),
}


def norm_is_defined(op: str, x: Tensor) -> bool:
    """Whether all rows have variance. Otherwise LayerNorm amplifies rounding errors."""
    if op != "norm":
        return True
    u = reference_residual(x.double())
    return float(u.var(-1, unbiased=False).min()) > 1e-3 * float(u.square().mean())


def norm_magnitude(x: Tensor, eps: float = 0.0) -> float:
    """Magnitude of the rounded values before LayerNorm, in units of its result.

    The transform rounds relative to the whole sequence u = x + M(x), and LayerNorm divides each row
    by its own deviation. If hidden is small, some row has a much smaller deviation than the others
    (hidden 4: a tenth), which amplifies the rounding of any implementation, including torch.
    """
    u = x.double() + torch.fft.fft2(x.double()).real
    deviation = (u.var(-1, unbiased=False) + eps).sqrt()
    return float((u.square().mean((-2, -1)).sqrt() / deviation.amin(-1)).max())


def largest_error(result: Tensor, expected: Tensor) -> float:
    """Largest absolute difference; infinite if `result` is not finite."""
    difference = (result.detach().double() - expected).abs()
    return float(difference.nan_to_num(nan=float("inf")).max())


def assert_accurate(
    result: Tensor,
    expected: Tensor,
    baseline: Tensor | None,
    what: str = "",
    magnitude: float = 0.0,
) -> None:
    """The error of `result` is allowed. `baseline` is torch's result, needed for float32 only."""
    assert result.shape == expected.shape, f"{what}: shape {tuple(result.shape)}"
    assert expected.any(), f"{what}: a comparison with zeros proves nothing"
    error = largest_error(result, expected)
    allowed = allowed_error(
        str(result.dtype).removeprefix("torch."),
        float(expected.abs().max()),
        largest_error(expected.to(result.dtype), expected),
        None if baseline is None else largest_error(baseline, expected),
        magnitude,
    )
    assert error <= allowed, f"{what}: error {error:.2e}, allowed {allowed:.2e}"
