"""The blocks beside FNet's own, by our operators and written out.

defines: BLOCKS, DTYPES, EPS, NEW, SCALE, arguments, call, formula, ours, wide
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fnet_kernels import fused_fourier_mix

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
#: norm_first and norm_type.
BLOCKS = [(False, "layer"), (False, "rms"), (True, "layer"), (True, "rms")]
NEW = BLOCKS[1:]
EPS, SCALE = 0.5, 0.3


def formula(
    block: tuple[bool, str], x: Tensor, weight: Tensor, bias: Tensor | None, eps: float = EPS
) -> Tensor:
    """The block written out, in the precision of its arguments."""
    norm_first, norm_type = block

    def normalised(u: Tensor) -> Tensor:
        centred = u if norm_type == "rms" else u - u.mean(-1, keepdim=True)
        rows = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight
        return rows if bias is None else rows + bias

    def mixed(u: Tensor) -> Tensor:
        return SCALE * torch.fft.fft2(u).real

    return x + mixed(normalised(x)) if norm_first else normalised(x + mixed(x))


def ours(block: tuple[bool, str], x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    norm_first, norm_type = block
    return fused_fourier_mix(
        x, weight, bias, EPS, scale=SCALE, norm_first=norm_first, norm_type=norm_type
    )


def arguments(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """x, weight and, for LayerNorm, bias.

    Rows have a mean, except in post-norm, where it makes one element of the sum far larger than the
    others.
    """
    x = torch.randn(shape, dtype=torch.float64) + (0.5 if block[0] else 0)
    weight, bias = torch.rand(shape[-1]) + 0.5, torch.randn(shape[-1])
    tensors = (x, weight, bias) if block[1] == "layer" else (x, weight)
    return [t.to(dtype) for t in tensors]


def call(function: Any, block: tuple[bool, str], args: list[Tensor]) -> Tensor:
    result: Tensor = function(block, *args, *[None] * (3 - len(args)))
    return result


def wide(tensors: list[Tensor]) -> list[Tensor]:
    return [t.detach().double().requires_grad_() for t in tensors]
