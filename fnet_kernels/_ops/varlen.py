"""The operators of sequences of different lengths, and their derivatives.

`x` is packed, `[total, hidden]` with the sequences one after the other, or padded, `[..., seq,
hidden]` with a sequence at the start of each `[seq, hidden]`. With a matrix C that cuts out the
rows of a sequence and extends them with zeros, the mixing is the sum of C^T M C over all sequences:
self-adjoint, as M is.

The operators take (lengths, round_to, norm) to say which rows they mix, and how.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fnet_kernels._ops.autograd import Family, Where
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import fourier_mix_varlen as fourier_mix
from fnet_kernels._ops.mixing import mix_varlen

__all__ = ["VARLEN", "fourier_mix", "fused_fourier_mix", "keep"]


def keep(t: Tensor, where: Where) -> Tensor:
    """Return `t`, packed or padded rows, with zeros past the lengths."""
    if t.dim() == 2:
        return t
    ends = torch.tensor(where[0], device=t.device).view(*t.shape[:-2], 1, 1)
    return torch.where(torch.arange(t.shape[-2], device=t.device).unsqueeze(-1) < ends, t, 0)


def _mix(u: Tensor, where: Where, scale: float) -> Tensor:
    mixed: Tensor = mix_varlen(u, *where, scale, True)
    return mixed


VARLEN = Family(
    operators.fused_fourier_mix_varlen.default,
    operators.fused_fourier_mix_varlen_train.default,
    operators.fused_fourier_mix_varlen_backward.default,
    _mix,
    keep,
)
fused_fourier_mix = VARLEN.call
