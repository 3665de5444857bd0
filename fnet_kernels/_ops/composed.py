"""The operators composed of ATen operators, for exporters that do not know ours.

With C - iS the DFT matrix, Re(FFT2(x)) = C x C - S x S and -Im(FFT2(x)) = C x S + S x C. Matrix
products run on every ONNX runtime and take any length, also one that the graph learns at run time.
The DFT operator of ONNX does neither: few runtimes have it, and onnxruntime loses four digits at
lengths like 768.

Rows -k of S are rows k with the other sign, so one quarter of the products gives all of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from ctypes import c_float
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._ops import OperatorBase
from torch.nn.functional import pad

from fnet_kernels._norm import Norm, norm_factor
from fnet_kernels._ops import traced
from fnet_kernels._ops.autograd import affine, compute, normalised
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.varlen import keep


def fourier_mix(x: Tensor, scale: float = 1.0, residual: bool = False) -> Tensor:
    return _mix(compute(x), scale, residual).to(x.dtype)


def hartley_mix(x: Tensor, scale: float = 1.0) -> Tensor:
    return _transform(compute(x), scale, hartley=True).to(x.dtype)


def fused_fourier_mix(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float
) -> Tensor:
    return _norm(_mix(compute(x), scale, True), weight, bias, eps)[0].to(x.dtype)


def fused_fourier_mix_train(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    u = _mix(compute(x), scale, True)
    y, _, rstd = _norm(u, weight, bias, eps)
    rows = _norm(u, None, None, eps)[0]
    return y.to(x.dtype), rows.to(x.dtype), rstd.squeeze(-1)


def fused_rms_fourier_mix(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float
) -> Tensor:
    return fused_rms_fourier_mix_train(x, weight, bias, eps, scale)[0]


def fused_rms_fourier_mix_train(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    rows, _, rstd = normalised(_mix(compute(x), scale, True), eps, rms=True)
    y = affine(rows, weight, bias)
    return y.to(x.dtype), rows.to(x.dtype), rstd.squeeze(-1)


def residual_fourier_mix(x: Tensor, residual: Tensor, scale: float = 1.0) -> Tensor:
    return (compute(residual) + _mix(compute(x), scale, False)).to(x.dtype)


def prenorm_fourier_mix(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, scale: float, rms: bool
) -> tuple[Tensor, Tensor, Tensor]:
    u = compute(x)
    rows, mean, rstd = normalised(u, eps, rms)
    y = u + _mix(affine(rows, weight, bias), scale, False)
    return y.to(x.dtype), mean.squeeze(-1), rstd.squeeze(-1)


def fourier_mix_varlen(
    x: Tensor,
    lengths: list[int],
    round_to: int = 1,
    norm: Norm = "backward",
    scale: float = 1.0,
    residual: bool = False,
) -> Tensor:
    def mix(t: Tensor) -> Tensor:
        return _mix(t, scale * norm_factor("fourier_mix_varlen", t, norm), residual)

    return _each(compute(x), lengths, round_to, mix).to(x.dtype)


def traced_fourier_mix(
    x: Tensor,
    lengths: Tensor,
    round_to: int = 1,
    norm: Norm = "backward",
    scale: float = 1.0,
    residual: bool = False,
) -> Tensor:
    """C x C' - S x S' with the DFT matrices C - iS of each sequence and C' - iS' of hidden."""
    u = keep(compute(x), (lengths,))  # a product with zeros would let NaN through
    sizes = lengths.sum(-1) if lengths.dtype is torch.bool else lengths
    sizes = ((sizes + (round_to - 1)) // round_to * round_to).clamp(min=1)[..., None, None]
    seq, hidden = u.shape[-2:]
    row, column = (torch.arange(n, device=u.device) for n in (seq, hidden))
    cos, sin = _waves(row, sizes.to(u.device), u)
    cos_hidden, sin_hidden = _waves(column, torch.full((), hidden, device=u.device), u)
    y = cos @ (u @ cos_hidden) - sin @ (u @ sin_hidden)
    count = sizes.to(u) * hidden
    if norm != "backward":
        y = y * (count.rsqrt() if norm == "ortho" else 1 / count)
    y = keep(y, (lengths,)) * _number(scale, u)
    return (u + y if residual else y).to(x.dtype)


def _waves(n: Tensor, periods: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi n m / period for all n and m."""
    turns = torch.outer(n, n) % periods  # exact in int64
    angle = turns.to(like.dtype) * (_number(2 * math.pi, like) / periods.to(like.dtype))
    return angle.cos(), angle.sin()


def _fused(
    mix: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    lengths: list[int] | Tensor,
    round_to: int,
    norm: Norm,
    eps: float,
    scale: float,
) -> Tensor:
    """The fused operator of different lengths whose transform is `mix`."""
    u = mix(compute(x), lengths, round_to, norm, scale, True)
    return keep(_norm(u, weight, bias, eps)[0], (lengths,)).to(x.dtype)


def _fused_train(
    mix: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    lengths: list[int] | Tensor,
    round_to: int,
    norm: Norm,
    eps: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The training operator of different lengths whose transform is `mix`."""
    u = mix(compute(x), lengths, round_to, norm, scale, True)
    y, _, rstd = _norm(u, weight, bias, eps)
    rows = _norm(u, None, None, eps)[0]
    y, rows, rstd = (keep(t, (lengths,)) for t in (y, rows, rstd))
    return y.to(x.dtype), rows.to(x.dtype), rstd.squeeze(-1)


def _each(x: Tensor, lengths: list[int], round_to: int, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """The sequences of x, packed or padded, one by one."""
    packed = x.dim() == 2
    parts = torch.split(x, lengths) if packed else x.flatten(0, -3).unbind()
    mixed = []
    for part, length in zip(parts, lengths, strict=True):
        y = mix(pad(part[:length], (0, 0, 0, -length % round_to)))[:length]
        mixed.append(y if packed else pad(y, (0, 0, 0, part.shape[0] - length)))
    if not mixed:
        return torch.zeros_like(x)
    return torch.cat(mixed) if packed else torch.stack(mixed).reshape(x.shape)


def _norm(
    u: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """LayerNorm(u), the mean and one over the deviation of each row."""
    weight, bias = (None if t is None else t.to(u.dtype) for t in (weight, bias))
    return torch.native_layer_norm(u, u.shape[-1:], weight, bias, eps)


def _mix(x: Tensor, scale: float, residual: bool) -> Tensor:
    mixed = _transform(x, scale, hartley=False)
    return x + mixed if residual else mixed


def _transform(x: Tensor, scale: float, hartley: bool) -> Tensor:
    """Re(FFT2(x)), or Re(FFT2(x)) - Im(FFT2(x)), times `scale`."""
    if 0 in x.shape:
        return torch.zeros_like(x)
    seq, hidden = x.shape[-2:]
    cos_seq, sin_seq = _dft(seq, x)
    cos_hidden, sin_hidden = _dft(hidden, x)
    cos, sin = x @ cos_hidden.T, x @ sin_hidden.T
    even, odd = cos_seq @ cos, sin_seq @ sin
    less, more = even - odd, even + odd
    above, below = (less, more), (more, less)  # at (s, k) and (s, -k); at (-s, k) and (-s, -k)
    if hartley:
        left, right = sin_seq @ cos, cos_seq @ sin
        plus, minus = left + right, left - right
        above, below = (less + plus, more + minus), (more - minus, less - plus)
    first, second = (_mirrored(*halves, hidden, -1) for halves in (above, below))
    return _mirrored(first, second, seq, -2).reshape(x.shape) * _number(scale, x)


def _dft(length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi k n / length, of shape [length // 2 + 1, length]."""
    n = torch.arange(length, device=like.device)
    k = torch.arange(length // 2 + 1, device=like.device)
    # As tensors, because ONNX has no arithmetic of a tensor and a length known at run time only.
    period = torch.full((), length, device=like.device)
    turns = torch.outer(k, n) % period  # exact in int64
    angle = turns.to(like.dtype) * (_number(2 * math.pi, like) / period.to(like.dtype))
    return angle.cos(), angle.sin()


def _mirrored(first: Tensor, second: Tensor, length: int, dim: int) -> Tensor:
    """`first`, at indices up to length // 2, then `second`, at their mirrors."""
    return torch.cat((first, second.narrow(dim, 1, (length - 1) // 2).flip(dim)), dim)


def _number(value: float, like: Tensor) -> Tensor | float:
    """`value` in the precision of `like`; torch writes a Python number to ONNX as float32."""
    if like.dtype != torch.float64 or not isinstance(value, float):
        return value
    nearest = c_float(value).value
    return like.new_full((), nearest) + like.new_full((), value - nearest)


DECOMPOSITIONS: dict[OperatorBase, Callable[..., Any]] = {
    operators.fourier_mix.default: fourier_mix,
    operators.hartley_mix.default: hartley_mix,
    operators.fused_fourier_mix.default: fused_fourier_mix,
    operators.fused_fourier_mix_train.default: fused_fourier_mix_train,
    operators.fourier_mix_varlen.default: fourier_mix_varlen,
    operators.fused_fourier_mix_varlen.default: partial(_fused, fourier_mix_varlen),
    operators.fused_fourier_mix_varlen_train.default: partial(_fused_train, fourier_mix_varlen),
    traced.mix: traced_fourier_mix,
    traced.fused: partial(_fused, traced_fourier_mix),
    traced.train: partial(_fused_train, traced_fourier_mix),
    operators.fused_rms_fourier_mix.default: fused_rms_fourier_mix,
    operators.fused_rms_fourier_mix_train.default: fused_rms_fourier_mix_train,
    operators.residual_fourier_mix.default: residual_fourier_mix,
    operators.prenorm_fourier_mix.default: prenorm_fourier_mix,
}
