"""`fourier_mix` over lengths that are known when a graph runs, not when it is traced.

defines: traced_fourier_mix
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table

from fnet_kernels._norm import Norm
from fnet_kernels._ops.composed import DECOMPOSITIONS
from fnet_kernels._ops.inductor import never_decompose
from fnet_kernels.functional import fourier_mix


@torch.library.custom_op(
    "fnet_kernels::traced_fourier_mix", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,)
)
def traced_fourier_mix(
    x: Tensor, lengths: Tensor, scale: float, norm: str, round_to: int | None
) -> Tensor:
    """`fourier_mix(x, lengths=lengths)`, an operator that reads `lengths` itself."""
    name: Norm = norm  # type: ignore[assignment]
    return fourier_mix(x, lengths=lengths, scale=scale, norm=name, round_to=round_to)


@traced_fourier_mix.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, lengths, *ctx.constants = inputs
    ctx.save_for_backward(lengths)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """The operator is its own adjoint."""
    (lengths,) = ctx.saved_tensors
    return traced_fourier_mix(grad, lengths, *ctx.constants), None, None, None, None


traced_fourier_mix.register_autograd(_backward, setup_context=_save)


def _composed(x: Tensor, lengths: Tensor, scale: float, norm: str, round_to: int | None) -> Tensor:
    """The operator in matrix products, for ONNX: C x C' - S x S' with the DFT matrices C - iS of
    each sequence and C' - iS' of the hidden axis."""
    u = x.to(torch.promote_types(x.dtype, torch.float32))
    seq, hidden = u.shape[-2:]
    step = round_to or 1
    sizes = ((lengths + (step - 1)) // step * step).clamp(min=1)[..., None, None]
    row, column = (torch.arange(n, device=u.device) for n in (seq, hidden))
    kept = row < lengths[..., None]
    pairs = kept[..., None, :] & kept[..., None]
    cos, sin = (t.masked_fill(~pairs, 0) for t in _waves(row, sizes, u))
    cos_hidden, sin_hidden = _waves(column, torch.full((), hidden, device=u.device), u)
    y = cos @ (u @ cos_hidden) - sin @ (u @ sin_hidden)
    count = sizes.to(u.dtype) * hidden
    if norm != "backward":
        y = y * (count.rsqrt() if norm == "ortho" else 1 / count)
    return (y * scale).to(x.dtype)


def _waves(n: Tensor, periods: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi n m / period for all n and m."""
    turns = torch.outer(n, n) % periods  # exact in int64
    angle = turns.to(like.dtype) * (2 * math.pi / periods.to(like.dtype))
    return angle.cos(), angle.sin()


# As for the other operators: torch.onnx.export decomposes what is in the first table.
_OPERATOR = torch.ops.fnet_kernels.traced_fourier_mix.default
decomposition_table[_OPERATOR] = DECOMPOSITIONS[_OPERATOR] = _composed
never_decompose([_OPERATOR])
