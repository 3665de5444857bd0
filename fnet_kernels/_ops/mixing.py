"""Derivatives of the transforms, the operators `fourier_mix` and `hartley_mix`.

M(x) = Re(FFT2(x)) and M(x) = Re(FFT2(x)) - Im(FFT2(x)) are linear and self-adjoint (M^T = M), so
the gradient and the forward derivative of each are itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from fnet_kernels._ops import traced
from fnet_kernels._ops.derivatives import (
    Reverse,
    make_dual,
    register,
    shortest,
    unpack_dual,
)
from fnet_kernels._ops.load import operators

Transform = Callable[..., Tensor]

mix: Transform = operators.fourier_mix.default
#: The operators of x and constants that are linear and self-adjoint in x, for sequences of one
#: length. The same holds of `mix_varlen` and `traced.mix`, whose other rules are in varlen.py.
TRANSFORMS: tuple[Any, ...] = (mix, operators.hartley_mix.default)
mix_varlen: Any = operators.fourier_mix_varlen.default


def _composed(op: Transform, x: Tensor, *constants: Any) -> Tensor:
    primal, tangent = unpack_dual(x)
    y = op(primal, *constants)
    return make_dual(y, None if tangent is None else op(tangent, *constants))


class _SelfAdjoint(Reverse):
    @staticmethod
    def forward(ctx: Any, op: Transform, x: Tensor, *rest: Any) -> Tensor:
        *ctx.constants, below = rest
        ctx.op = op
        y: Tensor = below(op, x, *ctx.constants)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        dx = _calls[ctx.op](grad, *ctx.constants)
        return None, dx, *(None,) * (len(ctx.constants) + 1)


_calls: dict[Any, Transform] = {
    op: shortest(op, register(op, partial(_composed, op), partial(_SelfAdjoint.apply, op)))
    for op in (*TRANSFORMS, mix_varlen, traced.mix)
}
fourier_mix, hartley_mix, fourier_mix_varlen, traced_fourier_mix = _calls.values()
