"""Mixing of sequences of different lengths, each over its own length.

A Fourier layer has no attention mask: padding changes every token of a sequence, and so does the
length that a batch is padded to. These functions transform each sequence over its own length, so
its result does not depend on the other sequences of the batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling
from torch.nested import nested_tensor_from_jagged
from torch.nn.functional import layer_norm

from fnet_kernels._norm import Norm, check_norm
from fnet_kernels._ops import varlen as ops
from fnet_kernels._ops.autograd import affine, compute
from fnet_kernels._ops.checks import check_affine, check_dense, check_eps, check_x, overridden
from fnet_kernels._ops.scale import total_scale
from fnet_kernels._ops.sequences import (
    Integers,
    check_lengths_tensor,
    check_round_to,
    lengths_of_offsets,
    lengths_of_rows,
)
from fnet_kernels._ops.unreadable import why_unreadable
from fnet_kernels._sizes import LAYER_NORM_EPS

_OPTIONAL = (Tensor, type(None))


def fourier_mix_varlen(
    x: Tensor,
    cu_seqlens: Integers,
    *,
    scale: float = 1,
    norm: Norm = "backward",
    round_to: int | None = None,
) -> Tensor:
    """`fourier_mix` of packed sequences, each over its own length.

    The rows of `x` are those of all sequences, one after the other, as in the variable length
    functions of flash-attention and `torch.nn.attention.varlen`. Rows `cu_seqlens[i]` to
    `cu_seqlens[i + 1] - 1` of the result equal `fourier_mix` of these rows of `x` alone, bitwise on
    a CPU. Like the transform of one sequence, that of all is its own adjoint.

    Args:
        x: `[total, hidden]`, any strides, of the dtypes of `fourier_mix`. On CUDA sequences of
            equal length share one call of the kernels, wherever they lie; at lengths without
            kernels only neighbours share a call, so sort sequences by length. A DTensor is
            gathered: to split a batch, call this on each rank with its own sequences.
        cu_seqlens: `[batch + 1]` offsets: 0, then the end of each sequence; the last is `total`.
            A list of ints or an int32 or int64 tensor on the CPU, because the lengths choose the
            plans of the transforms. A tensor on CUDA synchronises with the device, and is refused
            while a CUDA graph is captured. A sequence may be empty. With `dynamic=True` one graph
            of `torch.compile` serves all lengths of as many sequences.
        scale: as in `fourier_mix`.
        norm: as in `fourier_mix`; `seq` is the length of each sequence, rounded up to `round_to`.
        round_to: None, or the multiple to which each length is rounded up. The sequence continues
            with rows of zeros to that length, and the result is cut off after its own rows. A few
            distinct lengths with small prime factors run faster. The result of a sequence still
            does not depend on the others.

    Returns:
        A contiguous tensor with the shape and dtype of `x`; under `torch.autocast` as
        `fourier_mix`. A non-finite element makes its own sequence non-finite.

    Raises:
        TypeError: `x` is not a dense tensor of one of these dtypes, `cu_seqlens` neither a list of
            ints nor an int32 or int64 tensor, or `scale` or `round_to` not a number.
        ValueError: `x` does not have two axes, `cu_seqlens` does not start at 0, decreases or does
            not end at `total`, or is a tensor without values or under `torch.jit.trace`, `make_fx`
            or `torch.vmap`, `scale` is not finite, `norm` is none of the three, `round_to` is less
            than 1, or this build has no kernels for the device of `x`.

    >>> import torch
    >>> from fnet_kernels import fourier_mix_varlen
    >>> x = torch.tensor([[5.0, 6.0], [1.0, 2.0], [3.0, 4.0]])
    >>> fourier_mix_varlen(x, [0, 1, 3])
    tensor([[11., -1.],
            [10., -2.],
            [-4.,  0.]])
    """
    name = "fourier_mix_varlen"
    if not isinstance(x, Tensor):
        options = {"scale": scale, "norm": norm, "round_to": round_to}
        return overridden(fourier_mix_varlen, ("x",), (x,), cu_seqlens=cu_seqlens, **options)
    x = _check_packed(name, x)
    return mixed_rows(
        name, x, lengths_of_offsets(name, cu_seqlens, x.shape[0]), scale, norm, round_to
    )


def fused_fourier_mix_varlen(
    x: Tensor,
    cu_seqlens: Integers,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = LAYER_NORM_EPS,
    *,
    scale: float = 1,
    norm: Norm = "backward",
    round_to: int | None = None,
) -> Tensor:
    """`fused_fourier_mix` of packed sequences, each over its own length.

    Rows `cu_seqlens[i]` to `cu_seqlens[i + 1] - 1` of the result equal `fused_fourier_mix` of these
    rows of `x` alone, bitwise on a CPU.

    Args:
        x: as in `fourier_mix_varlen`.
        cu_seqlens: as in `fourier_mix_varlen`.
        weight: as in `fused_fourier_mix`.
        bias: as in `fused_fourier_mix`.
        eps: as in `fused_fourier_mix`.
        scale: as in `fourier_mix`.
        norm: as in `fourier_mix_varlen`.
        round_to: as in `fourier_mix_varlen`.

    Returns:
        A contiguous tensor with the shape and dtype of `x`; under `torch.autocast`, and in what
        autograd saves, as `fused_fourier_mix`.

    Raises:
        TypeError: as `fourier_mix_varlen` and `fused_fourier_mix`.
        ValueError: likewise.

    >>> import torch
    >>> from fnet_kernels import fused_fourier_mix_varlen
    >>> x = torch.tensor([[5.0, 6.0], [1.0, 2.0], [3.0, 4.0]])
    >>> fused_fourier_mix_varlen(x, [0, 1, 3])
    tensor([[ 1., -1.],
            [ 1., -1.],
            [-1.,  1.]])
    """
    name = "fused_fourier_mix_varlen"
    if not (
        isinstance(x, Tensor) and isinstance(weight, _OPTIONAL) and isinstance(bias, _OPTIONAL)
    ):
        return overridden(
            fused_fourier_mix_varlen,
            ("x", None, "weight", "bias"),
            (x, cu_seqlens, weight, bias),
            eps=eps,
            scale=scale,
            norm=norm,
            round_to=round_to,
        )
    x = _check_packed(name, x)
    lengths = lengths_of_offsets(name, cu_seqlens, x.shape[0])
    return fused_rows(name, x, weight, bias, eps, lengths, scale, norm, round_to)


def fourier_mix_lengths(
    x: Tensor, scale: float, norm: Norm, lengths: Integers | None, round_to: int | None
) -> Tensor:
    """`fourier_mix` of padded or nested sequences."""
    name = "fourier_mix"
    if x.is_nested:
        values, known = _jagged(name, x, lengths)
        return _jagged_as(x, mixed_rows(name, values, known, scale, norm, round_to))
    rows, of_rows = _padded(name, x, lengths)
    return mixed_rows(name, rows, of_rows, scale, norm, round_to).view(x.shape)


def fused_fourier_mix_lengths(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | None,
    scale: float,
    norm: Norm,
    lengths: Integers | None,
    round_to: int | None,
) -> Tensor:
    """`fused_fourier_mix` of padded or nested sequences."""
    name = "fused_fourier_mix"
    check_eps(name, eps)
    assert eps is not None
    if x.is_nested:
        values, known = _jagged(name, x, lengths)
        y = fused_rows(name, values, weight, bias, eps, known, scale, norm, round_to)
        return _jagged_as(x, y)
    rows, of_rows = _padded(name, x, lengths)
    y = fused_rows(name, rows, weight, bias, eps, of_rows, scale, norm, round_to)
    return y.view(x.shape)


def lengths_given(lengths: Integers | None, round_to: int | None) -> dict[str, Any]:
    """The two options, where a call gives them."""
    options = {"lengths": lengths, "round_to": round_to}
    return {name: value for name, value in options.items() if value is not None}


def refuse_lengths(name: str, beside: str, lengths: Integers | None, round_to: int | None) -> None:
    for option in lengths_given(lengths, round_to):
        raise ValueError(
            f"{name}: {option} must be None with {beside}: call fourier_mix with lengths, and add"
            " and normalise before and after it"
        )


def _check_packed(name: str, x: Tensor) -> Tensor:
    x = check_x(name, x)
    if x.dim() != 2:
        raise ValueError(
            f"{name}: x must have two axes, [total, hidden]; got shape {tuple(x.shape)}"
        )
    return x


def _padded(name: str, x: Tensor, lengths: Integers | None) -> tuple[Tensor, list[int] | Tensor]:
    """Padded rows and their lengths, checked; a tensor if the operator is to read them."""
    x = check_x(name, x)
    if lengths is None:
        raise ValueError(f"{name}: round_to must be None without lengths")
    # A compiler would represent the integers by symbols, as many as this batch has. An operator
    # takes no plain tensor beside a DTensor.
    traced = is_compiling() and not hasattr(x, "placements")
    if isinstance(lengths, Tensor) and (traced or why_unreadable(lengths)):
        check_lengths_tensor(name, lengths, x)
        return with_batch(x, lengths)
    numbers = lengths_of_rows(name, lengths, x)
    return x.unsqueeze(0) if x.dim() == 2 else x, numbers


def _jagged(name: str, x: Any, lengths: Integers | None) -> tuple[Tensor, list[int]]:
    """The rows and lengths of a nested tensor `[batch, ragged, hidden]` of jagged layout."""
    if x.layout is not torch.jagged:
        check_dense(name, "x", x)
    if lengths is not None:
        raise ValueError(f"{name}: lengths must be None for a nested tensor, which has its own")
    if x.dim() != 3 or x._ragged_idx != 1 or x.lengths() is not None:
        raise ValueError(
            f"{name}: x must be [batch, seq, hidden] with seq the ragged axis and without holes if"
            f" it is a nested tensor, got shape {tuple(x.shape)}"
        )
    values = check_x(name, x.values())
    return values, lengths_of_offsets(name, x.offsets(), len(values), "the offsets of x")


def _jagged_as(x: Any, rows: Tensor) -> Tensor:
    """`rows` as a nested tensor with the offsets of `x`, and the extreme lengths that `x` knows."""
    least, most = x._maybe_min_seqlen, x._maybe_max_seqlen
    return nested_tensor_from_jagged(rows, x.offsets(), min_seqlen=least, max_seqlen=most)


def with_batch(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """`x` and its lengths or mask, with a leading axis where they have none."""
    return (x, lengths) if x.dim() > 2 else (x.unsqueeze(0), lengths.unsqueeze(0))


def mixed_rows(
    name: str,
    x: Tensor,
    lengths: list[int] | Tensor,
    scale: float,
    norm: Norm,
    round_to: int | None,
) -> Tensor:
    """`fourier_mix` of checked rows; the operator reads a tensor of lengths, or a mask."""
    check_norm(name, norm)
    norm = norm or "backward"
    scale, symbolic = total_scale(name, x, scale, "backward")
    multiple = check_round_to(name, round_to)

    mix = ops.traced_fourier_mix if isinstance(lengths, Tensor) else ops.fourier_mix
    if symbolic:
        return (scale * mix(compute(x), lengths, multiple, norm, 1, False)).to(x.dtype)
    return mix(x, lengths, multiple, norm, scale, False)


def fused_rows(
    name: str,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    lengths: list[int] | Tensor,
    scale: float,
    norm: Norm,
    round_to: int | None,
) -> Tensor:
    """`fused_fourier_mix` of checked rows; as `mixed_rows`."""
    check_norm(name, norm)
    factor, symbolic = total_scale(name, x, scale, "backward")
    check_eps(name, eps)
    multiple = check_round_to(name, round_to)
    weight, bias = check_affine(name, x, weight, bias)
    where = lengths, multiple, norm or "backward"
    if symbolic:
        u = ops.keep(compute(x), where)
        mixed = mixed_rows(name, u, lengths, scale, norm, round_to)
        normalised = ops.keep(layer_norm(u + mixed, x.shape[-1:], eps=eps), where)
        return ops.keep(affine(normalised, weight, bias), where).to(x.dtype)
    family = ops.TRACED if isinstance(lengths, Tensor) else ops.VARLEN
    return family.call(x, weight, bias, *where, eps, factor)
