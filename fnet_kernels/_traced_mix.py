"""`fourier_mix` over lengths that are known when a graph runs, not when it is traced.

defines: traced_fourier_mix
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fnet_kernels.functional import fourier_mix


@torch.library.custom_op(
    "fnet_kernels::traced_fourier_mix", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,)
)
def traced_fourier_mix(
    x: Tensor, lengths: Tensor, scale: float, norm: str, round_to: int | None
) -> Tensor:
    """`fourier_mix(x, lengths=lengths)`, an operator that reads `lengths` itself."""
    return fourier_mix(x, lengths=lengths, scale=scale, norm=norm, round_to=round_to)  # type: ignore[arg-type]


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
