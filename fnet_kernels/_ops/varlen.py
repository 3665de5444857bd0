"""The operators of sequences of different lengths, and their derivatives.

`x` is packed, `[total, hidden]` with the sequences one after the other, or padded, `[..., seq,
hidden]` with a sequence at the start of each `[seq, hidden]`. With a matrix C that cuts out the
rows of a sequence and extends them with zeros, the mixing is the sum of C^T M C over all sequences:
self-adjoint, as M is.

The operators take (lengths, round_to, norm) to say which rows they mix, and how. Those of `TRACED`
take a tensor of lengths or a mask; see traced.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops import traced
from fnet_kernels._ops.autograd import Family, Where
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import fourier_mix_varlen as fourier_mix
from fnet_kernels._ops.mixing import mix_varlen, traced_fourier_mix
from fnet_kernels._ops.sequences import prefix

__all__ = ["TRACED", "VARLEN", "fourier_mix", "keep", "traced_fourier_mix"]


def keep(t: Tensor, where: Where) -> Tensor:
    """Return `t`, packed or padded rows, with zeros past the lengths."""
    lengths = where[0]
    if isinstance(lengths, Tensor) and lengths.dtype is torch.bool:
        kept = lengths.to(t.device)
    elif isinstance(lengths, Tensor) or t.dim() > 2:
        kept = prefix(lengths, t.shape[-2], t.device).view(t.shape[:-1])
    else:
        return t
    return torch.where(kept.unsqueeze(-1), t, 0)


def _mix_by(op: Any) -> Callable[[Tensor, Where, float], Tensor]:
    return lambda u, where, scale: op(u, *where, scale, True)


VARLEN = Family(
    operators.fused_fourier_mix_varlen.default,
    operators.fused_fourier_mix_varlen_train.default,
    operators.fused_fourier_mix_varlen_backward.default,
    _mix_by(mix_varlen),
    keep,
)
TRACED = Family(traced.fused, traced.train, traced.backward, _mix_by(traced.mix), keep)
