"""Gradients of the fused operators.

M(x) = Re(FFT2(x)) is self-adjoint: M^T = M. With u = x + scale * M(x), xhat = (u - mean(u)) * rstd
and y = xhat * weight + bias, the gradient is

    g  = grad_y * weight
    du = rstd * (g - mean(g) - xhat * mean(g * xhat))
    dx = du + scale * M(du)

One fused operator computes the first-order gradient. Under `create_graph` the same formula is
composed of differentiable operators. xhat and rstd are differentiable outputs of the training
operator, so derivatives of every order are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import mix, transforms_active

_train: Callable[..., tuple[Tensor, ...]] = operators.fused_fourier_mix_train.default

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None, None, None]


def setup_train(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, weight, bias, _, ctx.scale = inputs
    y, normalized, rstd = output
    rows = y if weight is None and bias is None else normalized
    need_x, need_weight = ctx.needs_input_grad[:2]
    # Save only what the required gradients read.
    ctx.save_for_backward(
        rows if need_x or need_weight else None,
        rstd if need_x else None,
        weight if need_x else None,
    )
    ctx.set_materialize_grads(False)


def train_backward(
    ctx: Any, grad: Tensor | None, grad_normalized: Tensor | None, grad_rstd: Tensor | None
) -> Gradients:
    rows, rstd, weight = ctx.saved_tensors
    if grad_normalized is not None and grad_normalized.numel() == 0:
        grad_normalized = None  # without weight and bias this output is empty
    return _gradients(ctx, (grad, grad_normalized, grad_rstd), rows, rstd, weight)


def _setup_inference(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.eps, ctx.scale = inputs
    ctx.save_for_backward(x, weight, bias)


def _inference_backward(ctx: Any, grad: Tensor) -> Gradients:
    # The inference operator saves no rows, so the backward pass recomputes them.
    x, weight, bias = ctx.saved_tensors
    y, rows, rstd = _train(x, weight, bias, ctx.eps, ctx.scale)
    if weight is None and bias is None:
        rows = y
    return _gradients(ctx, (grad, None, None), rows, rstd, weight)


def _gradients(
    ctx: Any,
    grads: tuple[Tensor | None, Tensor | None, Tensor | None],
    rows: Tensor | None,
    rstd: Tensor | None,
    weight: Tensor | None,
) -> Gradients:
    """Gradients with respect to (x, weight, bias), from those of (y, normalized rows, rstd)."""
    need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
    grad, grad_rows, grad_rstd = grads
    first_order = (
        not (torch.is_grad_enabled() or transforms_active())
        and grad_rows is None
        and grad_rstd is None
    )
    if need_x and first_order and grad is not None:
        dx, dweight, dbias = operators.fused_fourier_mix_backward(
            grad, rows, rstd, weight, ctx.scale, need_weight, need_bias
        )
        return dx, dweight if need_weight else None, dbias if need_bias else None, None, None
    # Autograd casts a gradient to the dtype of its parameter.
    dx = dweight = dbias = None
    if grad is not None:
        if need_weight:
            assert rows is not None
            dweight = _sum_rows(compute(grad) * compute(rows))
        if need_bias:
            dbias = _sum_rows(compute(grad))
    if need_x:
        assert rows is not None
        assert rstd is not None
        dx = _composed_dx(grad, grad_rows, grad_rstd, rows, rstd, weight, ctx.scale)
    return dx, dweight, dbias, None, None


def _composed_dx(
    grad: Tensor | None,
    grad_rows: Tensor | None,
    grad_rstd: Tensor | None,
    rows: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    scale: float,
) -> Tensor:
    xhat = compute(rows)
    du = torch.zeros_like(xhat)
    if grad is not None or grad_rows is not None:
        g = du if grad_rows is None else compute(grad_rows)
        if grad is not None:
            g = g + (compute(grad) if weight is None else compute(grad) * compute(weight))
        centred = g - g.mean(-1, keepdim=True) - xhat * (g * xhat).mean(-1, keepdim=True)
        du = rstd.unsqueeze(-1) * centred
    if grad_rstd is not None:  # d rstd / du = -rstd^2 * xhat / hidden
        du = du - (grad_rstd * rstd.square()).unsqueeze(-1) * xhat / rows.shape[-1]
    return mix(du, scale, True).to(rows.dtype)


def compute(t: Tensor) -> Tensor:
    """Convert 16-bit tensors to float32; return others unchanged."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


def _sum_rows(t: Tensor) -> Tensor:
    return t.sum(tuple(range(t.dim() - 1)))


for _name, _backward, _setup in (
    ("fused_fourier_mix", _inference_backward, _setup_inference),
    ("fused_fourier_mix_train", train_backward, setup_train),
):
    torch.library.register_autograd(f"fnet_kernels::{_name}", _backward, setup_context=_setup)
