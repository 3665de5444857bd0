"""Derivatives of the pre-norm operator, y = x + scale * M(xhat * weight + bias).

With xhat = (x - mean(x)) * rstd and t = scale * M(grad_y), the gradient is

    dx = grad_y + rstd * P(t * weight),  P(g) = g - mean(g) - xhat * mean(g * xhat)
    dweight = sum_rows t * xhat,  dbias = sum_rows t

RMSNorm has neither mean. One fused operator computes this gradient. The forward pass saves x, which
the residual keeps alive anyway, and the mean and rstd of each row. These two results are not
differentiable; if the gradient is differentiated, it computes them again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from fnet_kernels._ops.autograd import (
    Triple,
    affine,
    affine_gradients,
    compute,
    normalised,
    project,
)
from fnet_kernels._ops.derivatives import Reverse, register, shortest
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import mix
from fnet_kernels._ops.residual import op as residual_mix

forward: Any = operators.prenorm_fourier_mix.default
backward: Any = operators.prenorm_fourier_mix_backward.default


class _Prenorm(Reverse):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        scale: float,
        rms: bool,
        below: Callable[..., Triple],
    ) -> Any:
        y, mean, rstd = below(forward, x, weight, bias, eps, scale, rms)
        ctx.mark_non_differentiable(mean, rstd)
        ctx.save_for_backward(x, mean, rstd, weight)
        ctx.constants = eps, scale, rms
        return y, mean, rstd

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        _, need_weight, need_bias, *_rest = ctx.needs_input_grad
        dx, dweight, dbias = _shortest_backward(
            grad, *ctx.saved_tensors, *ctx.constants, need_weight, need_bias
        )
        dvectors = (dweight if need_weight else None, dbias if need_bias else None)
        return dx, *dvectors, None, None, None, None


def composed(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float, rms: bool
) -> Triple:
    """The operator composed of differentiable operators."""
    u = compute(x)
    rows, mean, rstd = normalised(u, eps, rms)
    y = residual_mix(affine(rows, weight, bias), u, scale)
    return y.to(x.dtype), mean.squeeze(-1), rstd.squeeze(-1)


def composed_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    eps: float,
    scale: float,
    rms: bool,
    need_weight: bool,
    need_bias: bool,
    mapped_axes: int = 0,
) -> Triple:
    """The backward operator composed of differentiable operators.

    With leading `mapped_axes`, the sums keep them, and `weight` broadcasts against `grad`.
    """
    rows, _, rstd = normalised(compute(x), eps, rms)
    t = mix(compute(grad), scale)
    dtype = grad.dtype if weight is None else weight.dtype
    dx = compute(grad) + rstd * project(affine(t, weight, None), rows, rms)
    needed = (need_weight, need_bias)
    return dx.to(grad.dtype), *affine_gradients(t, rows, dtype, needed, mapped_axes)


prenorm_fourier_mix: Callable[..., Triple] = shortest(
    forward, register(forward, composed, _Prenorm.apply)
)
_shortest_backward: Callable[..., Triple] = shortest(
    backward, register(backward, composed_backward)
)
