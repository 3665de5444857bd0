"""`fourier_mix` over lengths that Python must not read: a graph, or `torch.vmap`, knows them later.

defines: traced_fourier_mix
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table

from fnet_kernels._ops import varlen
from fnet_kernels._ops.checks import check_x
from fnet_kernels._ops.composed import DECOMPOSITIONS
from fnet_kernels._ops.derivatives import (
    LIBRARY,
    Reverse,
    make_dual,
    register,
    unpack_dual,
)
from fnet_kernels._ops.inductor import never_decompose
from fnet_kernels._ops.sequences import lengths_of_rows

_NAME = "fnet_kernels::traced_fourier_mix"
torch.library.define(
    _NAME,
    "(Tensor x, Tensor lengths, float scale, str norm, SymInt? round_to) -> Tensor",
    tags=(torch.Tag.cudagraph_unsafe, torch.Tag.pt2_compliant_tag),
)
#: `fourier_mix(x, lengths=lengths)`, an operator that reads `lengths` itself, or a boolean mask.
traced_fourier_mix: Any = torch.ops.fnet_kernels.traced_fourier_mix.default


def _mix(x: Tensor, lengths: Tensor, scale: float, norm: str, round_to: int | None) -> Tensor:
    x = check_x("fourier_mix", x)
    numbers = lengths_of_rows("fourier_mix", lengths, x)
    rows = x.unsqueeze(0) if x.dim() == 2 else x
    y: Tensor = varlen.fourier_mix(rows, numbers, round_to or 1, norm, scale, False)
    return y.view(x.shape)


def _fake(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _dual(x: Tensor, lengths: Tensor, *constants: Any) -> Tensor:
    """The operator of a tensor with a tangent, in which it is linear."""
    primal, tangent = unpack_dual(x)
    y = traced_fourier_mix(primal, lengths, *constants)
    return make_dual(
        y, None if tangent is None else traced_fourier_mix(tangent, lengths, *constants)
    )


class _SelfAdjoint(Reverse):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor, *rest: Any) -> Tensor:
        *ctx.constants, below = rest
        ctx.save_for_backward(lengths)
        y: Tensor = below(traced_fourier_mix, x, lengths, *ctx.constants)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (lengths,) = ctx.saved_tensors
        dx = traced_fourier_mix(grad, lengths, *ctx.constants)
        return dx, None, *(None,) * (len(ctx.constants) + 1)


def _mapped(
    info: Any, in_dims: tuple[int | None, ...], x: Tensor, lengths: Tensor, *constants: Any
) -> tuple[Tensor, int]:
    """The rule for `torch.vmap`: the mapped axis becomes a leading axis of both."""
    tensors = (
        t.expand(info.batch_size, *t.shape) if dim is None else t.movedim(dim, 0)
        for t, dim in zip((x, lengths), in_dims, strict=False)
    )
    return traced_fourier_mix(*tensors, *constants), 0


LIBRARY.impl(_NAME, _mix, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
torch.library.register_fake(_NAME, _fake)
register(traced_fourier_mix, _dual, _SelfAdjoint.apply)
torch.library.register_vmap(_NAME, _mapped)


def _composed(x: Tensor, lengths: Tensor, scale: float, norm: str, round_to: int | None) -> Tensor:
    """The operator in matrix products, for ONNX: C x C' - S x S' with the DFT matrices C - iS of
    each sequence and C' - iS' of the hidden axis."""
    if lengths.dtype is torch.bool:
        lengths = lengths.sum(-1)
    u = x.to(torch.promote_types(x.dtype, torch.float32))
    seq, hidden = u.shape[-2:]
    step = round_to or 1
    sizes = ((lengths + (step - 1)) // step * step).clamp(min=1)[..., None, None]
    row, column = (torch.arange(n, device=u.device) for n in (seq, hidden))
    past = (row >= lengths[..., None])[..., None]
    u = u.masked_fill(past, 0)  # a product with zeros would let NaN through
    cos, sin = _waves(row, sizes, u)
    cos_hidden, sin_hidden = _waves(column, torch.full((), hidden, device=u.device), u)
    y = (cos @ (u @ cos_hidden) - sin @ (u @ sin_hidden)).masked_fill(past, 0)
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
decomposition_table[traced_fourier_mix] = DECOMPOSITIONS[traced_fourier_mix] = _composed
never_decompose([traced_fourier_mix])
