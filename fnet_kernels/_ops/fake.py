"""Fake kernels: result shapes and dtypes for `torch.compile`, fake tensors and meta tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OperatorBase

from fnet_kernels._ops import traced
from fnet_kernels._ops.autograd import LAYER, RMS
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import TRANSFORMS, mix_varlen
from fnet_kernels._ops.varlen import TRACED, VARLEN


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _transform(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return _like(x)


def _fused_fourier_mix_train(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    rstd = x.new_empty(x.shape[:-1], dtype=torch.promote_types(x.dtype, torch.float32))
    return _like(x), _like(x), rstd


def _fused_fourier_mix_backward(
    grad: Tensor,
    normalized: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    *_, need_weight, need_bias = rest
    hidden = grad.shape[-1]
    dtype = grad.dtype if weight is None else weight.dtype
    dweight = grad.new_empty(hidden if need_weight else 0, dtype=dtype)
    dbias = grad.new_empty(hidden if need_bias else 0, dtype=dtype)
    return _like(grad), dweight, dbias


def _prenorm_fourier_mix(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    y, _rows, rstd = _fused_fourier_mix_train(x)
    return y, torch.empty_like(rstd), rstd


def _prenorm_fourier_mix_backward(
    grad: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return _fused_fourier_mix_backward(grad, x, rstd, weight, *rest)


FAKES: dict[OperatorBase, Callable[..., Any]] = {
    **dict.fromkeys(
        (*TRANSFORMS, mix_varlen, traced.mix, operators.residual_fourier_mix.default), _transform
    ),
    operators.prenorm_fourier_mix.default: _prenorm_fourier_mix,
    operators.prenorm_fourier_mix_backward.default: _prenorm_fourier_mix_backward,
}
for _family in (LAYER, RMS, VARLEN, TRACED):
    FAKES[_family.fused] = _transform
    FAKES[_family.train] = _fused_fourier_mix_train
    FAKES[_family.backward_op] = _fused_fourier_mix_backward


def _on_one_device(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """`kernel`, for tensors of one device: the dispatcher calls it if any tensor is on meta."""

    def checked(first: Tensor, *rest: Any) -> Any:
        for other in rest:
            if isinstance(other, Tensor) and other.device != first.device:
                raise RuntimeError(
                    f"fnet_kernels: expected all tensors on the device of the first,"
                    f" {first.device}, got one on {other.device}"
                )
        return kernel(first, *rest)

    return checked


for _op, _kernel in FAKES.items():
    # The lengths of a traced operator may be on the host.
    _fake = _kernel if _op in traced.OPERATORS else _on_one_device(_kernel)
    torch.library.register_fake(_op, _fake)  # type: ignore[arg-type]
