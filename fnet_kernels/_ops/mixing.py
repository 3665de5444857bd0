"""Derivatives of the operator `fourier_mix`.

Mixing, M(x) = Re(FFT2(x)), is linear and self-adjoint (M^T = M), so its gradient and its forward
derivative are mixing too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from fnet_kernels._ops.derivatives import Reverse, apply_of, make_dual, register, unpack_dual
from fnet_kernels._ops.load import operators

mix: Callable[..., Tensor] = operators.fourier_mix.default


def _composed(x: Tensor, scale: float = 1.0, residual: bool = False) -> Tensor:
    primal, tangent = unpack_dual(x)
    y = mix(primal, scale, residual)
    return make_dual(y, None if tangent is None else mix(tangent, scale, residual))


class _Mix(Reverse):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        *ctx.rest, below = rest
        y: Tensor = below(mix, x, *ctx.rest)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return mix(grad, *ctx.rest), *(None,) * (len(ctx.rest) + 1)


register(mix, _composed, apply_of(_Mix))
