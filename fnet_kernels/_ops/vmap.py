"""Rules for `torch.vmap`.

A mapped axis of x becomes a leading axis of one call. A mapped weight or bias needs a loop.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops.load import operators

Dims = tuple[int | None, ...]


def _to_front(t: Tensor, dim: int) -> Tensor:
    return t.movedim(dim, 0)


def _loop(op: Any, size: int, in_dims: Dims, args: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Call `op` on each slice along the mapped axes and stack the results along axis 0."""

    def slices(arg: Any, dim: int | None) -> Any:
        if dim is None:
            return [arg] * max(size, 1)
        if size == 0:  # append a slice of zeros, whose results have the right shapes
            arg = torch.cat([arg, arg.new_zeros(*arg.shape[:dim], 1, *arg.shape[dim + 1 :])], dim)
        return arg.unbind(dim)

    calls = zip(*map(slices, args, in_dims), strict=True)
    results = [op(*call) for call in calls]
    if isinstance(results[0], Tensor):
        results = [(result,) for result in results]
    return tuple(torch.stack(same)[:size] for same in zip(*results, strict=True))


def _fourier_mix(
    info: Any, in_dims: Dims, x: Tensor, scale: float = 1.0, residual: bool = False
) -> tuple[Tensor, int]:
    assert in_dims[0] is not None
    return operators.fourier_mix(_to_front(x, in_dims[0]), scale, residual), 0


def _fused_fourier_mix(info: Any, in_dims: Dims, *args: Any) -> tuple[Tensor, int]:
    x, *rest = args
    if in_dims[0] is not None and in_dims[1:3] == (None, None):
        return operators.fused_fourier_mix(_to_front(x, in_dims[0]), *rest), 0
    return _loop(operators.fused_fourier_mix, info.batch_size, in_dims, args)[0], 0


def _fused_fourier_mix_train(
    info: Any, in_dims: Dims, *args: Any
) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
    x, *rest = args
    if in_dims[0] is not None and in_dims[1:3] == (None, None):
        y, normalized, rstd = operators.fused_fourier_mix_train(_to_front(x, in_dims[0]), *rest)
        affine = rest[0] is not None or rest[1] is not None
        return (y, normalized, rstd), (0, 0 if affine else None, 0)
    return _loop(operators.fused_fourier_mix_train, info.batch_size, in_dims, args), (0, 0, 0)


def _fused_fourier_mix_backward(
    info: Any, in_dims: Dims, *args: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    # Weight gradients sum over all leading axes, so each mapped slice needs its own call.
    return _loop(operators.fused_fourier_mix_backward, info.batch_size, in_dims, args), (0, 0, 0)


torch.library.register_vmap("fnet_kernels::fourier_mix", _fourier_mix)
torch.library.register_vmap("fnet_kernels::fused_fourier_mix", _fused_fourier_mix)
torch.library.register_vmap("fnet_kernels::fused_fourier_mix_train", _fused_fourier_mix_train)
torch.library.register_vmap("fnet_kernels::fused_fourier_mix_backward", _fused_fourier_mix_backward)
