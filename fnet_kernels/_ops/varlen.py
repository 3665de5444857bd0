"""The operators of sequences of different lengths.

`x` is packed, `[total, hidden]` with the sequences one after the other, or padded, `[..., seq,
hidden]` with a sequence at the start of each `[seq, hidden]`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from fnet_kernels._norm import Norm, norm_factor
from fnet_kernels._ops import autograd, mixing


def fourier_mix(x: Tensor, lengths: list[int], round_to: int, norm: Norm, scale: float) -> Tensor:
    def mix(t: Tensor) -> Tensor:
        return mixing.fourier_mix(t, scale * norm_factor("fourier_mix_varlen", t, norm))

    return _each(x, lengths, round_to, mix)


def fused_fourier_mix(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    lengths: list[int],
    round_to: int,
    norm: Norm,
    eps: float,
    scale: float,
) -> Tensor:
    def mix(t: Tensor) -> Tensor:
        factor = scale * norm_factor("fused_fourier_mix_varlen", t, norm)
        return autograd.fused_fourier_mix(t, weight, bias, eps, factor)

    return _each(x, lengths, round_to, mix)


def _each(x: Tensor, lengths: list[int], round_to: int, mix: Callable[[Tensor], Tensor]) -> Tensor:
    packed = x.dim() == 2
    parts = torch.split(x, lengths) if packed else x.reshape(-1, *x.shape[-2:]).unbind()
    mixed = []
    for part, length in zip(parts, lengths, strict=True):
        rounded = -(-length // round_to) * round_to
        y = mix(pad(part[:length], (0, 0, 0, rounded - length)))[:length]
        mixed.append(y if packed else pad(y, (0, 0, 0, part.shape[0] - length)))
    if not mixed:
        return torch.zeros_like(x)
    return torch.cat(mixed) if packed else torch.stack(mixed).reshape(x.shape)


def keep(t: Tensor, lengths: list[int]) -> Tensor:
    """Return `t`, packed or padded rows, with zeros past the lengths."""
    if t.dim() == 2:
        return t
    seq = t.shape[-2]
    ends = torch.tensor(lengths, device=t.device).view(*t.shape[:-2], 1, 1)
    return torch.where(torch.arange(seq, device=t.device).unsqueeze(-1) < ends, t, 0)
