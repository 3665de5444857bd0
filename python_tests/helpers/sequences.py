"""Sequences of different lengths: packed, padded, and one by one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor


def offsets(lengths: list[int]) -> list[int]:
    """0, then the end of each sequence."""
    return [0, *accumulate(lengths)]


def padded(packed: Tensor, lengths: list[int], seq: int, fill: float = 0.0) -> Tensor:
    """`[batch, seq, ...]` from `[total, ...]`, with `fill` past the lengths."""
    out = packed.new_full((len(lengths), seq, *packed.shape[1:]), fill)
    for row, part in zip(out, packed.split(lengths), strict=True):
        row[: len(part)] = part
    return out


def one_by_one(
    mix: Callable[[Tensor], Tensor], x: Tensor, lengths: list[int], round_to: int | None = None
) -> Tensor:
    """`mix` of each sequence alone, extended with zeros to a multiple of `round_to`."""
    parts = []
    for part in x.split(lengths):
        zeros = part.new_zeros(-len(part) % (round_to or 1), x.shape[1])
        parts.append(mix(torch.cat([part, zeros]))[: len(part)])
    return torch.cat(parts) if parts else x.clone()
