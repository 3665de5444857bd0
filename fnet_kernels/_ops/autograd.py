"""Derivatives of the fused operators.

M(x) = Re(FFT2(x)) is self-adjoint: M^T = M. With u = x + scale * M(x), xhat = (u - mean(u)) * rstd
and y = xhat * weight + bias, the gradient is

    g  = grad_y * weight
    du = rstd * P(g),  P(g) = g - mean(g) - xhat * mean(g * xhat)
    dx = du + scale * M(du)

RMSNorm is LayerNorm without mean(u), and without mean(g) in P.

One fused operator computes the first-order gradient; if that is differentiated, the formula is
composed of differentiable operators. xhat and rstd are differentiable outputs of the training
operator, so derivatives of every order are exact. In forward mode the training operator itself is
composed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops.derivatives import Reverse, apply_of, register, shortest
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import mix

Triple = tuple[Tensor, Tensor, Tensor]


class _Train(Reverse):
    """Reverse mode of the training operators."""

    @staticmethod
    def forward(
        ctx: Any,
        family: Family,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        scale: float,
        below: Callable[..., Triple],
    ) -> Any:
        y, rows, rstd = below(family.train, x, weight, bias, eps, scale)
        _, need_x, need_weight, *_ = ctx.needs_input_grad
        # Save only what the required gradients read. Not y: what follows may overwrite it.
        ctx.save_for_backward(
            rows if need_x or need_weight else None,
            rstd if need_x else None,
            weight if need_x else None,
        )
        ctx.set_materialize_grads(False)
        weight_dtype = None if weight is None else weight.dtype
        ctx.constants = family, scale, weight_dtype, None if bias is None else bias.dtype
        return y, rows, rstd

    @staticmethod
    def backward(
        ctx: Any,
        grad: Tensor | None,
        grad_rows: Tensor | None = None,
        grad_rstd: Tensor | None = None,
    ) -> tuple[Tensor | None, ...]:
        rows, rstd, weight = ctx.saved_tensors
        family, scale, weight_dtype, bias_dtype = ctx.constants
        _, need_x, need_weight, need_bias, *_ = ctx.needs_input_grad
        dx: Tensor | None = None
        dweight: Tensor | None = None
        dbias: Tensor | None = None
        if need_x and grad is not None and grad_rows is None and grad_rstd is None:
            # The operator sums in the dtype of weight or grad, which must hold the bias gradient.
            fuses_bias = need_bias and bias_dtype in (weight_dtype, grad.dtype)
            dx, sums, bias_sums = family.backward(
                grad, rows, rstd, weight, scale, need_weight, fuses_bias
            )
            dweight = sums if need_weight else None
            dbias = bias_sums if fuses_bias else None
            if dbias is not None and dbias.dtype is not bias_dtype:
                dbias = dbias.to(bias_dtype)
        elif need_x:
            dx = _input_gradient(grad, grad_rows, grad_rstd, rows, rstd, weight, scale, family.rms)
        if need_weight and dweight is None and grad is not None:
            dweight = _weight_gradient(grad, rows, weight_dtype)
        if need_bias and dbias is None and grad is not None:
            dbias = _sum_rows(grad, bias_dtype)
        return None, dx, dweight, dbias, None, None, None


def _composed_train(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    scale: float,
    rms: bool = False,
) -> Triple:
    """A training operator, composed of differentiable operators."""
    rows, _, rstd = normalised(mix(compute(x), scale, True), eps, rms)
    y = affine(rows, weight, bias)
    return y.to(x.dtype), rows.to(x.dtype), rstd.squeeze(-1)


def composed_backward(
    grad: Tensor,
    rows: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    scale: float,
    need_weight: bool,
    need_bias: bool,
    mapped_axes: int = 0,
    rms: bool = False,
) -> Triple:
    """A backward operator, composed of differentiable operators.

    With leading `mapped_axes`, the sums keep them, and `weight` broadcasts against `grad`.
    """
    dtype = grad.dtype if weight is None else weight.dtype
    dx = _input_gradient(grad, None, None, rows, rstd, weight, scale, rms)
    assert dx is not None
    needed = (need_weight, need_bias)
    return dx, *affine_gradients(grad, rows, dtype, needed, mapped_axes)


def affine_gradients(
    grad: Tensor, rows: Tensor, dtype: torch.dtype, needed: tuple[bool, bool], mapped_axes: int
) -> tuple[Tensor, Tensor]:
    """The gradients of weight and bias, empty unless needed."""
    need_weight, need_bias = needed
    nothing = grad.new_empty((1,) * mapped_axes + (0,), dtype=dtype)
    return (
        _weight_gradient(grad, rows, dtype, mapped_axes) if need_weight else nothing,
        _sum_rows(grad, dtype, mapped_axes) if need_bias else nothing,
    )


def _input_gradient(
    grad: Tensor | None,
    grad_rows: Tensor | None,
    grad_rstd: Tensor | None,
    rows: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    scale: float,
    rms: bool,
) -> Tensor | None:
    """The gradient of x from those of (y, normalized rows, rstd)."""
    xhat = compute(rows)
    terms = []
    if grad is not None:
        terms.append(compute(grad) if weight is None else compute(grad) * compute(weight))
    if grad_rows is not None:
        terms.append(compute(grad_rows))
    du = None
    if terms:
        du = rstd.unsqueeze(-1) * project(sum(terms[1:], terms[0]), xhat, rms)
    if grad_rstd is not None:  # d rstd / du = -rstd^2 * xhat / hidden
        term = (grad_rstd * rstd.square()).unsqueeze(-1) * xhat / rows.shape[-1]
        du = -term if du is None else du - term
    return None if du is None else mix(du, scale, True).to(rows.dtype)


def normalised(u: Tensor, eps: float, rms: bool) -> Triple:
    """The normalised rows of `u`, and mean (zeros with `rms`) and rstd of each row."""
    mean = u.mean(-1, keepdim=True)
    if rms:
        mean = torch.zeros_like(mean)
    centred = u if rms else u - mean
    rstd = (centred.square().mean(-1, keepdim=True) + eps).rsqrt()
    return centred * rstd, mean, rstd


def affine(rows: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    y = rows if weight is None else rows * compute(weight)
    return y if bias is None else y + compute(bias)


def project(t: Tensor, xhat: Tensor, rms: bool) -> Tensor:
    """P(t): each row less its mean, unless `rms`, and its part along `xhat`."""
    along = xhat * (t * xhat).mean(-1, keepdim=True)
    return t - along if rms else t - t.mean(-1, keepdim=True) - along


def _weight_gradient(
    grad: Tensor, rows: Tensor, dtype: torch.dtype, mapped_axes: int = 0
) -> Tensor:
    return _sum_rows(compute(grad) * compute(rows), dtype, mapped_axes)


def _sum_rows(t: Tensor, dtype: torch.dtype, mapped_axes: int = 0) -> Tensor:
    wide = torch.promote_types(t.dtype, torch.float32)
    return t.sum(tuple(range(mapped_axes, t.dim() - 1)), dtype=wide).to(dtype)


def compute(t: Tensor) -> Tensor:
    """Convert 16-bit tensors to float32; return others unchanged."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


def _first(function: Callable[..., Triple]) -> Callable[..., Tensor]:
    return lambda *args: function(*args)[0]


class Family:
    """The three operators with one norm, their derivatives, and the shortest ways to call them.

    Attributes:
        fused, train: the operators for inference and for training.
        plain: what `register` returns for `fused`.
        call: `fused`, and `backward` the backward operator, by the shortest way.
    """

    def __init__(self, name: str, rms: bool) -> None:
        self.rms = rms
        self.fused = getattr(operators, name).default
        self.train = getattr(operators, f"{name}_train").default
        backward = getattr(operators, f"{name}_backward").default
        apply = partial(apply_of(_Train), self)
        composed_train = partial(_composed_train, rms=rms)
        register(self.train, composed_train, apply)
        self.plain: Callable[..., Tensor] = register(
            self.fused, _first(composed_train), _first(apply)
        )
        self.call: Callable[..., Tensor] = shortest(self.fused, self.plain)
        composed: Callable[..., Triple] = partial(composed_backward, rms=rms)
        self.backward: Callable[..., Triple] = shortest(backward, register(backward, composed))
        #: Each operator composed of differentiable ones.
        self.composed: dict[Any, Callable[..., Any]] = {
            self.fused: _first(composed_train),
            self.train: composed_train,
            backward: composed,
        }


LAYER = Family("fused_fourier_mix", rms=False)
RMS = Family("fused_rms_fourier_mix", rms=True)
fused_fourier_mix, fused_fourier_mix_plain = LAYER.call, LAYER.plain
