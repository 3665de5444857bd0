"""Fake kernels: result shapes and dtypes for `torch.compile`, fake tensors and meta tensors."""

from __future__ import annotations

import torch
from torch import Tensor

import fnet_kernels._ops.load  # noqa: F401  (registers the operators)


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _fourier_mix(x: Tensor, scale: float = 1.0, residual: bool = False) -> Tensor:
    return _like(x)


def _fused_fourier_mix(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float
) -> Tensor:
    return _like(x)


def _fused_fourier_mix_train(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    rstd = x.new_empty(x.shape[:-1], dtype=torch.promote_types(x.dtype, torch.float32))
    return _like(x), _like(x), rstd


def _fused_fourier_mix_backward(
    grad: Tensor,
    normalized: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    scale: float,
    need_weight: bool,
    need_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    hidden = grad.shape[-1]
    dtype = grad.dtype if weight is None else weight.dtype
    dweight = grad.new_empty(hidden if need_weight else 0, dtype=dtype)
    dbias = grad.new_empty(hidden if need_bias else 0, dtype=dtype)
    return _like(grad), dweight, dbias


torch.library.register_fake("fnet_kernels::fourier_mix", _fourier_mix)
torch.library.register_fake("fnet_kernels::fused_fourier_mix", _fused_fourier_mix)
torch.library.register_fake("fnet_kernels::fused_fourier_mix_train", _fused_fourier_mix_train)
torch.library.register_fake("fnet_kernels::fused_fourier_mix_backward", _fused_fourier_mix_backward)
