"""Rules for `torch.vmap`.

A mapped axis of x becomes a leading axis of one call, and of packed rows more sequences. A mapped
weight or bias needs a loop.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops.autograd import DENSE, composed_backward
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import TRANSFORMS, mix_varlen
from fnet_kernels._ops.varlen import VARLEN

Dims = tuple[int | None, ...]


def _to_front(t: Tensor, dim: int) -> Tensor:
    return t.movedim(dim, 0)


def _loop(op: Any, size: int, in_dims: Dims, args: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Call `op` on each slice along the mapped axes and stack the results along axis 0."""

    def slices(arg: Any, dim: int | None) -> Any:
        if not isinstance(dim, int):  # that of a list is one of None
            return [arg] * max(size, 1)
        if size == 0:  # append a slice of zeros, whose results have the right shapes
            arg = torch.cat([arg, arg.new_zeros(*arg.shape[:dim], 1, *arg.shape[dim + 1 :])], dim)
        return arg.unbind(dim)

    calls = zip(*map(slices, args, in_dims), strict=True)
    results = [op(*call) for call in calls]
    if isinstance(results[0], Tensor):
        results = [(result,) for result in results]
    return tuple(torch.stack(same)[:size] for same in zip(*results, strict=True))


def _transform(
    op: Any, info: Any, in_dims: Dims, x: Tensor, *rest: Any, **named: Any
) -> tuple[Tensor, int]:
    assert in_dims[0] is not None
    return op(_to_front(x, in_dims[0]), *rest, **named), 0


def _fused_fourier_mix(info: Any, in_dims: Dims, *args: Any) -> tuple[Tensor, int]:
    x, *rest = args
    if in_dims[0] is not None and in_dims[1:3] == (None, None):
        return operators.fused_fourier_mix(_to_front(x, in_dims[0]), *rest), 0
    return _loop(operators.fused_fourier_mix, info.batch_size, in_dims, args)[0], 0


def _fused_fourier_mix_train(
    info: Any, in_dims: Dims, *args: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    x, *rest = args
    if in_dims[0] is not None and in_dims[1:3] == (None, None):
        results = operators.fused_fourier_mix_train(_to_front(x, in_dims[0]), *rest)
    else:
        results = _loop(operators.fused_fourier_mix_train, info.batch_size, in_dims, args)
    return results, (0, 0, 0)


def _fused_fourier_mix_backward(
    info: Any,
    in_dims: Dims,
    grad: Tensor,
    rows: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    scale: float,
    need_weight: bool,
    need_bias: bool,
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    # The operator sums over all leading axes, so it cannot keep the mapped one.
    def front(t: Tensor, dim: int | None) -> Tensor:
        return t.unsqueeze(0) if dim is None else t.movedim(dim, 0)

    grad, rows, rstd = map(front, (grad, rows, rstd), in_dims)
    if weight is not None and in_dims[3] is not None:
        weight = weight.movedim(in_dims[3], 0)
        weight = weight.view(-1, *(1,) * (grad.dim() - 2), weight.shape[-1])
    results = composed_backward(
        DENSE, grad, rows, rstd, weight, scale, need_weight, need_bias, mapped_axes=1
    )
    return tuple(t.expand(info.batch_size, *t.shape[1:]) for t in results), (0, 0, 0)


def _of_lengths(
    op: Any, lengths_at: int, info: Any, in_dims: Dims, *args: Any, **named: Any
) -> tuple[Any, Any]:
    """The rule of an operator of (x, ..., lengths, ...): all mapped sequences in one call."""
    x, *rest = args
    if in_dims[0] is None or any(isinstance(dim, int) for dim in in_dims[1:]):
        results = _loop(op, info.batch_size, in_dims, args)
        return (results[0], 0) if len(results) == 1 else (results, (0,) * len(results))
    rest[lengths_at - 1] = list(rest[lengths_at - 1]) * info.batch_size
    x = _to_front(x, in_dims[0])
    results = op(x.flatten(0, 1) if x.dim() == 3 else x, *rest, **named)
    if isinstance(results, Tensor):
        return results.view(x.shape), 0
    y, rows, rstd = results
    return (y.view(x.shape), rows.view(x.shape), rstd.view(x.shape[:-1])), (0, 0, 0)


def _fused_backward_of_lengths(
    info: Any, in_dims: Dims, *args: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    return _loop(VARLEN.backward, info.batch_size, in_dims, args), (0, 0, 0)


for _op in TRANSFORMS:
    torch.library.register_vmap(_op, partial(_transform, _op))
torch.library.register_vmap("fnet_kernels::fused_fourier_mix", _fused_fourier_mix)
torch.library.register_vmap("fnet_kernels::fused_fourier_mix_train", _fused_fourier_mix_train)
torch.library.register_vmap("fnet_kernels::fused_fourier_mix_backward", _fused_fourier_mix_backward)
_varlen: list[tuple[Any, int]] = [(mix_varlen, 1), (VARLEN.fused, 3), (VARLEN.train, 3)]
for _op, _lengths_at in _varlen:
    torch.library.register_vmap(_op, partial(_of_lengths, _op, _lengths_at))
torch.library.register_vmap(VARLEN.backward, _fused_backward_of_lengths)
