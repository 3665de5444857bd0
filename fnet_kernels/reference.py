"""The operators in plain PyTorch (`torch.fft`): reference for tests, baseline for benchmarks.

This module does not use the compiled extension. 16-bit inputs are computed in float32 and rounded
once at the end. For a reference in double precision pass float64 tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, rms_norm

from fnet_kernels._norm import Norm, check_norm
from fnet_kernels._norm_type import NormType, check_norm_type
from fnet_kernels._sizes import LAYER_NORM_EPS


def _compute(t: Tensor) -> Tensor:
    """Convert `t` to the compute dtype, which is at least float32."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


def _spectrum(op: str, x: Tensor, norm: Norm) -> Tensor:
    check_norm(op, norm)
    # torch.fft rejects axes of length 0.
    return torch.fft.fft2(x, norm=norm) if x.numel() else torch.complex(x, x)


def fourier_mix(
    x: Tensor, *, scale: float = 1.0, norm: Norm = "backward", residual: Tensor | None = None
) -> Tensor:
    """`scale * Re(FFT2(x))` over the last two axes, as `torch.fft` computes it.

    Args:
        x: `[..., seq, hidden]`, any floating dtype.
        scale: multiplies the transform.
        norm: as in `torch.fft.fft2`.
        residual: as `x`, added to the transform; None for zeros.

    Returns:
        A tensor with the shape and dtype of `x`.

    Raises:
        ValueError: `norm` is not one of the three.

    >>> import torch
    >>> fourier_mix(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[10., -2.],
            [-4.,  0.]])
    """
    mixed = scale * _spectrum("fourier_mix", _compute(x), norm).real
    return (mixed if residual is None else _compute(residual) + mixed).to(x.dtype)


def hartley_mix(x: Tensor, *, scale: float = 1.0, norm: Norm = "backward") -> Tensor:
    """`scale * (Re(FFT2(x)) - Im(FFT2(x)))` over the last two axes, as `torch.fft` computes it.

    Args:
        x: `[..., seq, hidden]`, any floating dtype.
        scale: multiplies the transform.
        norm: as in `torch.fft.fft2`.

    Returns:
        A tensor with the shape and dtype of `x`.

    Raises:
        ValueError: `norm` is not one of the three.

    >>> import torch
    >>> hartley_mix(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[ 6.0000, -2.3660, -0.6340]])
    """
    spectrum = _spectrum("hartley_mix", _compute(x), norm)
    return (scale * (spectrum.real - spectrum.imag)).to(x.dtype)


def fused_fourier_mix(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float | None = LAYER_NORM_EPS,
    *,
    scale: float = 1.0,
    norm: Norm = "backward",
    norm_first: bool = False,
    norm_type: NormType = "layer",
) -> Tensor:
    """`LayerNorm(x + scale * Re(FFT2(x)))`: the mixing sublayer of FNet (section 3 of the paper).

    With `norm_first`, `x + scale * Re(FFT2(LayerNorm(x)))` (arXiv 2002.04745); with
    `norm_type="rms"` RMSNorm (arXiv 1910.07467) in place of LayerNorm.

    Args:
        x: `[..., seq, hidden]`, any floating dtype.
        weight: `[hidden]`, multiplies the normalised rows; None for ones.
        bias: `[hidden]`, added last; None for zeros. RMSNorm has none.
        eps: added to the variance of each row, or to the mean of its squares; for RMSNorm None is
            as in `torch.nn.RMSNorm`.
        scale: multiplies the transform.
        norm: as in `torch.fft.fft2`.
        norm_first: normalise what the transform reads, not the sum.
        norm_type: `"layer"` or `"rms"`.

    Returns:
        A tensor with the shape and dtype of `x`.

    Raises:
        TypeError: `norm_first` is not a bool, or `eps` None with LayerNorm.
        ValueError: `norm` is not one of the three, `norm_type` not one of the two, or RMSNorm has a
            bias.

    >>> import torch
    >>> fused_fourier_mix(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    check_norm_type("fused_fourier_mix", norm_first, norm_type, bias)
    if eps is None and norm_type != "rms":
        raise TypeError("fused_fourier_mix: eps must be a number with norm_type='layer', got None")
    u = _compute(x)
    shape = x.shape[-1:]
    wide_weight, wide_bias = (None if t is None else t.to(u.dtype) for t in (weight, bias))

    def normalised(t: Tensor) -> Tensor:
        if norm_type == "rms":
            return rms_norm(t, shape, wide_weight, eps)
        assert eps is not None
        return layer_norm(t, shape, wide_weight, wide_bias, eps)

    def mixed(t: Tensor) -> Tensor:
        return scale * _spectrum("fused_fourier_mix", t, norm).real

    y = u + mixed(normalised(u)) if norm_first else normalised(u + mixed(u))
    return y.to(x.dtype)


def fourier_mix_varlen(
    x: Tensor,
    cu_seqlens: Sequence[int] | Tensor,
    *,
    scale: float = 1.0,
    norm: Norm = "backward",
    round_to: int | None = None,
) -> Tensor:
    """`fourier_mix` of each sequence of packed rows alone.

    Args:
        x: `[total, hidden]`, any floating dtype.
        cu_seqlens: `[batch + 1]` offsets: 0, then the end of each sequence.
        scale: multiplies the transform.
        norm: as in `torch.fft.fft2`.
        round_to: None, or the multiple to which rows of zeros extend each sequence; the result is
            cut off after its own rows.

    Returns:
        A tensor with the shape and dtype of `x`.

    Raises:
        ValueError: `norm` is not one of the three, or `cu_seqlens` does not rise from 0 to the
            number of rows.

    >>> import torch
    >>> fourier_mix_varlen(torch.tensor([[5.0, 6.0], [1.0, 2.0], [3.0, 4.0]]), [0, 1, 3])
    tensor([[11., -1.],
            [10., -2.],
            [-4.,  0.]])
    """
    mix = partial(fourier_mix, scale=scale, norm=norm)
    return _each("fourier_mix_varlen", x, cu_seqlens, round_to, mix)


def fused_fourier_mix_varlen(
    x: Tensor,
    cu_seqlens: Sequence[int] | Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = LAYER_NORM_EPS,
    *,
    scale: float = 1.0,
    norm: Norm = "backward",
    round_to: int | None = None,
) -> Tensor:
    """`fused_fourier_mix` of each sequence of packed rows alone.

    Args:
        x: `[total, hidden]`, any floating dtype.
        cu_seqlens: as in `fourier_mix_varlen`.
        weight: `[hidden]`, multiplies the normalised rows; None for ones.
        bias: `[hidden]`, added last; None for zeros.
        eps: added to the variance of each row.
        scale: multiplies the transform.
        norm: as in `torch.fft.fft2`.
        round_to: as in `fourier_mix_varlen`.

    Returns:
        A tensor with the shape and dtype of `x`.

    Raises:
        ValueError: `norm` is not one of the three, or `cu_seqlens` does not rise from 0 to the
            number of rows.

    >>> import torch
    >>> x = torch.tensor([[5.0, 6.0], [1.0, 2.0], [3.0, 4.0]])
    >>> fused_fourier_mix_varlen(x, [0, 1, 3])
    tensor([[ 1., -1.],
            [ 1., -1.],
            [-1.,  1.]])
    """
    name = "fused_fourier_mix_varlen"
    mix = partial(fused_fourier_mix, weight=weight, bias=bias, eps=eps, scale=scale, norm=norm)
    return _each(name, x, cu_seqlens, round_to, mix)


def _each(
    name: str,
    x: Tensor,
    cu_seqlens: Sequence[int] | Tensor,
    round_to: int | None,
    mix: Callable[[Tensor], Tensor],
) -> Tensor:
    offsets = [int(offset) for offset in cu_seqlens]
    if offsets[:1] != [0] or offsets[-1] != len(x) or offsets != sorted(offsets):
        raise ValueError(
            f"{name}: cu_seqlens must rise from 0 to the number of rows of x, {len(x)}; got"
            f" {offsets}"
        )
    parts = []
    for begin, end in pairwise(offsets):
        zeros = x.new_zeros(-(end - begin) % (round_to or 1), x.shape[1])
        parts.append(mix(torch.cat([x[begin:end], zeros]))[: end - begin])
    return torch.cat(parts) if parts else x.clone()
