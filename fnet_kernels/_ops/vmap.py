"""Rules for `torch.vmap`.

A mapped axis of x becomes a leading axis of one call, and of packed rows more sequences. A mapped
weight or bias needs a loop.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops import prenorm, residual, traced
from fnet_kernels._ops.autograd import LAYER, RMS
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import TRANSFORMS, mix_varlen
from fnet_kernels._ops.varlen import TRACED, VARLEN

Dims = tuple[int | None, ...]


def _to_front(t: Tensor, dim: int) -> Tensor:
    return t.movedim(dim, 0)


def _mapped(t: Tensor, dim: int | None, info: Any) -> Tensor:
    """`t` with the mapped axis in front, also if it is not mapped."""
    return t.expand(info.batch_size, *t.shape) if dim is None else _to_front(t, dim)


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


def _of_rows(op: Any, info: Any, in_dims: Dims, *args: Any) -> tuple[Any, Any]:
    """An operator of x, weight, bias and constants whose results all have the leading axes of x."""
    x, *rest = args
    single = len(op._schema.returns) == 1
    if in_dims[0] is not None and in_dims[1:3] == (None, None):
        results = op(_to_front(x, in_dims[0]), *rest)
    else:
        looped = _loop(op, info.batch_size, in_dims, args)
        results = looped[0] if single else looped
    return results, 0 if single else (0,) * len(results)


def _residual_fourier_mix(
    info: Any, in_dims: Dims, x: Tensor, residual: Tensor, *rest: Any, **named: Any
) -> tuple[Tensor, int]:
    args = _mapped(x, in_dims[0], info), _mapped(residual, in_dims[1], info)
    return operators.residual_fourier_mix(*args, *rest, **named), 0


def _backward(
    composed: Any, saved: int, info: Any, in_dims: Dims, *args: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """A backward operator of `saved` tensors, of weight and constants.

    The operator sums over all leading axes, so it cannot keep the mapped one.
    """

    def front(t: Tensor, dim: int | None) -> Tensor:
        return t.unsqueeze(0) if dim is None else t.movedim(dim, 0)

    tensors = list(map(front, args[:saved], in_dims))
    weight, *constants = args[saved:]
    if weight is not None and in_dims[saved] is not None:
        weight = weight.movedim(in_dims[saved], 0)
        weight = weight.view(-1, *(1,) * (tensors[0].dim() - 2), weight.shape[-1])
    results = composed(*tensors, weight, *constants, mapped_axes=1)
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


def _traced(
    op: Any, lengths_at: int, info: Any, in_dims: Dims, *args: Any, **named: Any
) -> tuple[Any, Any]:
    """The rule of an operator of (x, ..., lengths, ...) where `lengths` is a tensor."""
    if any(dim is not None for dim in in_dims[1:lengths_at]):
        results: Any = _loop(op, info.batch_size, in_dims, args)
        results = results[0] if len(results) == 1 else results
    else:
        mapped = list(args)
        for i in (0, lengths_at):
            mapped[i] = _mapped(args[i], in_dims[i], info)
        results = op(*mapped, **named)
    return results, 0 if isinstance(results, Tensor) else (0,) * len(results)


def _fused_backward_of_lengths(
    op: Any, info: Any, in_dims: Dims, *args: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    return _loop(op, info.batch_size, in_dims, args), (0, 0, 0)


for _op in TRANSFORMS:
    torch.library.register_vmap(_op, partial(_transform, _op))
torch.library.register_vmap(residual.op, _residual_fourier_mix)
for _op in (LAYER.fused, LAYER.train, RMS.fused, RMS.train, prenorm.forward):
    torch.library.register_vmap(_op, partial(_of_rows, _op))
for _op, _composed, _saved in (
    *((family.backward_op, family.composed[family.backward_op], 3) for family in (LAYER, RMS)),
    (prenorm.backward, prenorm.composed_backward, 4),
):
    torch.library.register_vmap(_op, partial(_backward, _composed, _saved))
for _rule, _transform_op, _family in (
    (_of_lengths, mix_varlen, VARLEN),
    (_traced, traced.mix, TRACED),
):
    for _op, _lengths_at in ((_transform_op, 1), (_family.fused, 3), (_family.train, 3)):
        torch.library.register_vmap(_op, partial(_rule, _op, _lengths_at))
    torch.library.register_vmap(
        _family.backward_op, partial(_fused_backward_of_lengths, _family.backward_op)
    )
