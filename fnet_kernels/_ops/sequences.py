"""Lengths of the sequences of a call, on the host: another length is another plan of the FFT.

defines: Integers, check_lengths_tensor, check_not_captured, check_round_to, lengths_of_offsets,
    lengths_of_rows, prefix
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.compiler import is_compiling

from fnet_kernels._ops.checks import check_size, kind
from fnet_kernels._ops.unreadable import plain, why_unreadable

#: Numbers on the host or in a tensor.
Integers: TypeAlias = Sequence[int] | Tensor

#: The most numbers of a sequence, which keeps sizes in bytes within 64 bits.
MOST = 1 << 56
_INTEGERS = (torch.int32, torch.int64)


def check_round_to(op: str, round_to: int | None) -> int:
    """Return `round_to`, and 1 for None."""
    if round_to is None:
        return 1
    if type(round_to) is int and not _holds(round_to < 1):  # also a symbolic one under a compiler
        if _holds(round_to > MOST):
            raise ValueError(f"{op}: round_to must be at most 2^56, got {round_to}")
        return round_to
    return check_size(op, "round_to", round_to)


def _holds(condition: bool) -> bool:
    """Whether `condition` is true; under a compiler that cannot know it, the operator checks it."""
    if is_compiling():
        return torch.fx.experimental.symbolic_shapes.guard_or_false(condition)
    return condition


def lengths_of_offsets(
    op: str, cu_seqlens: Integers, total: int, name: str = "cu_seqlens"
) -> list[int]:
    """Return the length of each sequence of packed rows.

    Raises:
        TypeError: `cu_seqlens` is neither a list of ints nor an int32 or int64 tensor.
        ValueError: it is no vector, Python cannot read it now, or it does not start at 0, decreases
            or does not end at `total`.
    """
    if isinstance(cu_seqlens, Tensor) and cu_seqlens.dim() != 1:
        raise ValueError(
            f"{op}: {name} must have one axis, [batch + 1]; got shape {tuple(cu_seqlens.shape)}"
        )
    offsets = _on_the_host(op, name, cu_seqlens)
    if not offsets or _holds(offsets[0] != 0):
        start = offsets[0] if offsets else "no offsets"
        raise ValueError(f"{op}: {name} must start at 0, got {start}")
    lengths = [end - begin for begin, end in pairwise(offsets)]
    for i, length in enumerate(lengths):
        if _holds(length < 0):
            raise ValueError(
                f"{op}: {name} must not decrease, got {offsets[i]} and then {offsets[i + 1]} at"
                f" index {i + 1}"
            )
    if _holds(offsets[-1] != total):
        raise ValueError(
            f"{op}: {name} must end at the number of rows of x, {total}; got {offsets[-1]}"
        )
    return lengths


def lengths_of_rows(op: str, lengths: Integers, x: Tensor) -> list[int]:
    """Return the length of each sequence of `x` `[..., seq, hidden]`, in the order of memory.

    Raises:
        TypeError: `lengths` is no list of ints, int32 or int64 tensor, or boolean mask.
        ValueError: there is not one length for each sequence, one is negative or longer than seq,
            a row of the mask is not a run of True followed by False alone, or Python cannot read
            them now.
    """
    leading, seq = x.shape[:-2], x.shape[-2]
    if isinstance(lengths, Tensor):
        check_lengths_tensor(op, lengths, x)
        _check_readable(op, "lengths", lengths)
        if lengths.dtype is torch.bool:
            lengths = _lengths_of_mask(op, plain(lengths))
        lengths = lengths.reshape(-1)
    values = _on_the_host(op, "lengths", lengths)
    count = math.prod(leading)
    if len(values) != count:
        raise ValueError(
            f"{op}: lengths must have one number for each of the {count} sequences of x, got"
            f" {len(values)}"
        )
    for i, length in enumerate(values):
        if _holds(length < 0) or _holds(length > seq):
            raise ValueError(
                f"{op}: lengths must be between 0 and {seq}, the rows of each sequence of x; got"
                f" {length} at index {i}"
            )
    return values


def check_lengths_tensor(op: str, lengths: Tensor, x: Tensor) -> None:
    """Check the dtype and the shape of lengths or of a boolean mask."""
    leading, seq = x.shape[:-2], x.shape[-2]
    is_mask = lengths.dtype is torch.bool
    expected = (*leading, seq) if is_mask else tuple(leading)
    if tuple(lengths.shape) != expected:
        what = "mask of valid tokens" if is_mask else "tensor of lengths"
        of_integers = not is_mask and tuple(lengths.shape) == (*leading, seq)
        hint = ", as of a mask, which must be boolean: mask.bool()" if of_integers else ""
        raise ValueError(
            f"{op}: lengths must be a {what} of shape {expected} for x of shape"
            f" {tuple(x.shape)}; got shape {tuple(lengths.shape)}{hint}"
        )
    if not is_mask:
        _check_integers(op, "lengths", lengths)
    check_beside(op, "lengths", lengths, x)


def check_beside(op: str, name: str, given: Tensor, x: Tensor) -> None:
    """Check that `given` has values if `x` does."""
    if given.is_meta and not x.is_meta:
        raise ValueError(
            f"{op}: {name} must be on the CPU or on the device of x, {x.device}; got a tensor on"
            " meta, which has no values"
        )


def _check_integers(op: str, name: str, given: Tensor) -> None:
    if given.dtype not in _INTEGERS:
        mask = ", or torch.bool for a mask" if name == "lengths" else ""
        raise TypeError(f"{op}: {name} must be torch.int32 or torch.int64{mask}; got {given.dtype}")


def prefix(lengths: Sequence[int] | Tensor, seq: int, device: torch.device) -> Tensor:
    """A mask `[..., seq]` that is true for the first `lengths` of each row."""
    ends = (lengths if isinstance(lengths, Tensor) else _tensor_of(lengths)).to(device, torch.int64)
    return torch.arange(seq, device=device) < ends[..., None]


def _tensor_of(lengths: Sequence[int]) -> Tensor:
    host: Any = {"dtype": torch.int64, "device": "cpu"}  # whatever the default device is
    if any(isinstance(length, torch.SymInt) for length in lengths):  # those of a list in a graph
        return torch.stack([torch.scalar_tensor(length, **host) for length in lengths])
    # Not torch.as_tensor, whose result torch.jit.trace takes for a constant.
    return torch.tensor(lengths, **host)


def _lengths_of_mask(op: str, mask: Tensor) -> Tensor:
    lengths = mask.sum(-1)
    expected = prefix(lengths, mask.shape[-1], mask.device)
    if not torch.equal(mask, expected):
        row = int((mask != expected).any(-1).reshape(-1).nonzero()[0])
        raise ValueError(
            f"{op}: lengths as a mask must be True for the first tokens of each sequence and False"
            f" for all others (padding on the right); got a True after a False in sequence {row}"
        )
    return lengths


def _on_the_host(op: str, name: str, given: Integers) -> list[int]:
    if isinstance(given, Tensor):
        _check_integers(op, name, given)
        _check_readable(op, name, given)
        values: list[int] = plain(given).tolist()
        return values
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise TypeError(
            f"{op}: {name} must be a list of ints or an integer tensor, got {kind(given)}"
        )
    return [_integer(op, name, value) for value in given]


def check_not_captured(op: str, name: str, given: Tensor) -> None:
    """Check that no CUDA graph is captured now, in which `given` has no values yet."""
    if given.is_cuda and torch.cuda.is_current_stream_capturing():
        raise ValueError(
            f"{op}: {name} must be on the host while a CUDA graph is captured, got a tensor on"
            f" {given.device}"
        )


def _check_readable(op: str, name: str, given: Tensor) -> None:
    check_not_captured(op, name, given)
    if reason := why_unreadable(given):
        raise ValueError(
            f"{op}: {name} must be a list of ints, or a tensor whose values Python can read; got"
            f" {reason}"
        )


def _integer(op: str, name: str, value: Any) -> int:
    if type(value) is int or isinstance(value, torch.SymInt):
        return value  # type: ignore[return-value]
    if isinstance(value, (bool, Tensor)) or not hasattr(value, "__index__"):
        raise TypeError(f"{op}: {name} must be a list of ints, got a {kind(value)} in it")
    return operator.index(value)
