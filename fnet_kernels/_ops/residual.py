"""Derivatives of `residual_fourier_mix`, residual + scale * M(x).

The operator is linear in both arguments: the gradient of the residual is that of the result, and
that of x its mixing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from fnet_kernels._ops.derivatives import (
    Reverse,
    make_dual,
    register,
    shortest,
    unpack_dual,
)
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import fourier_mix, mix

op: Any = operators.residual_fourier_mix.default


class _Residual(Reverse):
    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor, *rest: Any) -> Tensor:
        *ctx.constants, below = rest
        y: Tensor = below(op, x, residual, *ctx.constants)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        dx = fourier_mix(grad, *ctx.constants) if ctx.needs_input_grad[0] else None
        return dx, grad, *(None,) * (len(ctx.constants) + 1)


def _composed(x: Tensor, residual: Tensor, scale: float = 1.0) -> Tensor:
    (x, dx), (residual, dresidual) = unpack_dual(x), unpack_dual(residual)  # type: ignore[assignment]
    tangent = dresidual if dx is None else mix(dx, scale)
    if dx is not None and dresidual is not None:
        tangent = op(dx, dresidual, scale)
    return make_dual(op(x, residual, scale), tangent)


residual_fourier_mix: Callable[..., Tensor] = shortest(op, register(op, _composed, _Residual.apply))
