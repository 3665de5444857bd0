"""The training operator under `torch.func` and forward-mode differentiation.

`torch.func` ignores `register_autograd` and needs a `torch.autograd.Function`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops.autograd import compute, setup_train, train_backward
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import mix, transforms_active

_train: Callable[..., tuple[Tensor, ...]] = operators.fused_fourier_mix_train.default


def train(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float
) -> Tensor:
    """Return y of `fused_fourier_mix_train`, differentiable under `torch.func` too."""
    run = _apply_train if transforms_active() else _train
    return run(x, weight, bias, eps, scale)[0]


class _Train(torch.autograd.Function):
    """`fused_fourier_mix_train` for `torch.func`."""

    generate_vmap_rule = True
    backward = staticmethod(train_backward)

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float
    ) -> tuple[Tensor, ...]:
        return _train(x, weight, bias, eps, scale)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        setup_train(ctx, inputs, output)
        _, weight, bias, _, _ = inputs
        y, normalized, rstd = output
        ctx.affine = weight is not None or bias is not None
        ctx.save_for_forward(normalized if ctx.affine else y, rstd, weight)

    @staticmethod
    def jvp(
        ctx: Any, x: Tensor | None, weight: Tensor | None, bias: Tensor | None, *_: None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tangents of (y, normalized rows, rstd) from those of (x, weight, bias)."""
        rows, rstd, factor = ctx.saved_tensors
        xhat = compute(rows)
        if x is None:
            rows_tangent, rstd_tangent = torch.zeros_like(xhat), torch.zeros_like(rstd)
        else:
            du = mix(compute(x), ctx.scale, True)
            projection = (du * xhat).mean(-1, keepdim=True)
            centred = du - du.mean(-1, keepdim=True) - xhat * projection
            rows_tangent = rstd.unsqueeze(-1) * centred
            rstd_tangent = -rstd.square() * projection.squeeze(-1)
        y = rows_tangent if factor is None else rows_tangent * compute(factor)
        if weight is not None:
            y = y + xhat * compute(weight)
        if bias is not None:
            y = y + compute(bias)
        normalized = rows_tangent if ctx.affine else rows_tangent.new_empty(0)
        return y.to(rows.dtype), normalized.to(rows.dtype), rstd_tangent


_apply_train: Callable[..., tuple[Tensor, ...]] = _Train.apply
