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

M may also be that of sequences of different lengths, which mixes some rows and drops others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops.derivatives import Reverse, register, shortest
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import mix

Triple = tuple[Tensor, Tensor, Tensor]
#: The arguments that say which rows an operator mixes.
Where = tuple[Any, ...]


class Family:
    """Three fused operators, their derivatives, and the shortest ways to call them.

    Args:
        fused: the operator of (x, weight, bias, *where, eps, scale).
        train: the operator of the same, which also returns the normalised rows and rstd.
        backward: the operator of (grad, rows, rstd, weight, *where, scale, need_weight, need_bias).
        mix: u + scale * M(u), from (u, where, scale).
        keep: `[..., seq, hidden]` with zeros in the rows that are not mixed, from (tensor, where).
        rms: normalise by RMSNorm, not LayerNorm.

    Attributes:
        fused, train, backward_op: the operators.
        plain: what `register` returns for `fused`.
        call: `fused`, and `backward` the backward operator, by the shortest way.
        composed: each operator composed of differentiable ones.
    """

    def __init__(
        self,
        fused: Any,
        train: Any,
        backward: Any,
        mix: Callable[[Tensor, Where, float], Tensor],
        keep: Callable[[Tensor, Where], Tensor] = lambda t, where: t,
        rms: bool = False,
    ) -> None:
        self.fused, self.train, self.backward_op = fused, train, backward
        self.mix, self.keep, self.rms = mix, keep, rms
        composed_train, apply = partial(_composed_train, self), partial(_apply_train, self)
        composed: Callable[..., Triple] = partial(composed_backward, self)
        register(train, composed_train, apply)
        self.plain: Callable[..., Tensor] = register(fused, _first(composed_train), _first(apply))
        self.call: Callable[..., Tensor] = shortest(fused, self.plain)
        self.backward: Callable[..., Triple] = shortest(backward, register(backward, composed))
        self.composed: dict[Any, Callable[..., Any]] = {
            fused: _first(composed_train),
            train: composed_train,
            backward: composed,
        }


class _Train(Reverse):
    """Reverse mode of the training operator of a family."""

    @staticmethod
    def forward(
        ctx: Any, family: Family, x: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any
    ) -> Any:
        *constants, below = rest
        y, rows, rstd = below(family.train, x, weight, bias, *constants)
        _, need_x, need_weight, *_ = ctx.needs_input_grad
        # Save only what the required gradients read. Not y: what follows may overwrite it.
        ctx.save_for_backward(
            rows if need_x or need_weight else None,
            rstd if need_x else None,
            weight if need_x else None,
        )
        ctx.set_materialize_grads(False)
        weight_dtype = None if weight is None else weight.dtype
        bias_dtype = None if bias is None else bias.dtype
        ctx.constants = family, constants, weight_dtype, bias_dtype
        return y, rows, rstd

    @staticmethod
    def backward(
        ctx: Any,
        grad: Tensor | None,
        grad_rows: Tensor | None = None,
        grad_rstd: Tensor | None = None,
    ) -> tuple[Tensor | None, ...]:
        rows, rstd, weight = ctx.saved_tensors
        family, (*where, _, scale), weight_dtype, bias_dtype = ctx.constants
        _, need_x, need_weight, need_bias, *_ = ctx.needs_input_grad
        dx: Tensor | None = None
        dweight: Tensor | None = None
        dbias: Tensor | None = None
        if need_x and grad is not None and grad_rows is None and grad_rstd is None:
            # The sums have the dtype of weight, or without it of grad: that of bias in either case.
            dx, sums, bias_sums = family.backward(
                grad, rows, rstd, weight, *where, scale, need_weight, need_bias
            )
            dweight = sums if need_weight else None
            dbias = bias_sums if need_bias else None
        elif need_x:
            grads = grad, grad_rows, grad_rstd
            dx = _input_gradient(family, where, *grads, rows, rstd, weight, scale)
        if need_weight and dweight is None and grad is not None:
            dweight = _weight_gradient(family.keep(grad, where), rows, weight_dtype)
        if need_bias and dbias is None and grad is not None:
            dbias = _sum_rows(family.keep(grad, where), bias_dtype)
        return None, dx, dweight, dbias, *(None,) * (len(where) + 3)


def _composed_train(
    family: Family, x: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any
) -> Triple:
    """The training operator of a family, composed of differentiable operators."""
    *given, eps, scale = rest
    where = tuple(given)
    rows, _, rstd = normalised(family.mix(compute(x), where, scale), eps, family.rms)
    # First the rows: those that are not mixed are NaN with eps = 0, and so would be dweight.
    rows, rstd = family.keep(rows, where), family.keep(rstd, where)
    y = family.keep(affine(rows, weight, bias), where)
    return y.to(x.dtype), rows.to(x.dtype), rstd.squeeze(-1)


def composed_backward(
    family: Family,
    grad: Tensor,
    rows: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    *rest: Any,
    mapped_axes: int = 0,
) -> Triple:
    """The backward operator of a family, composed of differentiable operators.

    With leading `mapped_axes`, the sums keep them, and `weight` broadcasts against `grad`.
    """
    *given, scale, need_weight, need_bias = rest
    where = tuple(given)
    dtype = grad.dtype if weight is None else weight.dtype
    grad = family.keep(grad, where)
    dx = _input_gradient(family, where, grad, None, None, rows, rstd, weight, scale)
    assert dx is not None
    return dx, *affine_gradients(grad, rows, dtype, (need_weight, need_bias), mapped_axes)


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
    family: Family,
    where: Where,
    grad: Tensor | None,
    grad_rows: Tensor | None,
    grad_rstd: Tensor | None,
    rows: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    scale: float,
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
        du = rstd.unsqueeze(-1) * project(sum(terms[1:], terms[0]), xhat, family.rms)
    if grad_rstd is not None:  # d rstd / du = -rstd^2 * xhat / hidden
        term = (grad_rstd * rstd.square()).unsqueeze(-1) * xhat / rows.shape[-1]
        du = -term if du is None else du - term
    return None if du is None else family.mix(du, where, scale).to(rows.dtype)


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


_apply_train = _Train.apply


def _of_one_length(name: str, rms: bool) -> Family:
    fused, train, backward = (
        getattr(operators, f"{name}{end}").default for end in ("", "_train", "_backward")
    )
    return Family(fused, train, backward, lambda u, where, scale: mix(u, scale, True), rms=rms)


#: The operators of sequences of one length, by norm.
LAYER = _of_one_length("fused_fourier_mix", rms=False)
RMS = _of_one_length("fused_rms_fourier_mix", rms=True)
fused_fourier_mix, fused_fourier_mix_plain = LAYER.call, LAYER.plain
