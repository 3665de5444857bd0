"""The meanings of padding, and what the arguments of a call say about its sequences.

defines: MEANINGS, Padding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from fnet_kernels._ops.checks import check_mask, check_per_token, check_size
from fnet_kernels._ops.scale import is_symbolic
from fnet_kernels._ops.sequences import (
    Integers,
    check_beside,
    check_lengths_tensor,
    check_not_captured,
    lengths_of_offsets,
    lengths_of_rows,
    prefix,
)
from fnet_kernels._ops.unreadable import is_traced, why_unreadable, why_without_values
from fnet_kernels._sequences import Packed, Sequences, Traced

#: What `padding` may be; see docs/padding.md.
MEANINGS = ("tokens", "zero", "exact")


@dataclass(frozen=True)
class Padding:
    """How mixing treats padding.

    Args:
        meaning: "tokens": as further tokens; "zero": as zeros; "exact": not at all, each sequence
            is mixed over its own length.
        round_to: with "exact", over the next multiple of it, filled with zeros.
    """

    meaning: str = "tokens"
    round_to: int | None = None

    def __str__(self) -> str:
        """For the end of an `extra_repr`, which does not mention defaults."""
        text = "" if self.meaning == "tokens" else f", padding={self.meaning}"
        return text if self.round_to is None else f"{text}, round_to={self.round_to}"

    def checked(self, owner: str) -> Padding:
        """Return this with `round_to` as an int.

        Raises:
            TypeError: `round_to` is not an integer.
            ValueError: `meaning` is not one of `MEANINGS`, `round_to` is less than 1, or given
                without "exact".
        """
        if self.meaning not in MEANINGS:
            known = ", ".join(map(repr, MEANINGS))
            raise ValueError(f"{owner}: padding must be one of {known}; got {self.meaning!r}")
        if self.round_to is None:
            return self
        round_to = check_size(owner, "round_to", self.round_to)
        if self.meaning != "exact":
            raise ValueError(
                f"{owner}: round_to must be None with padding={self.meaning!r}, which rounds no"
                f" lengths; got {round_to}"
            )
        return Padding(self.meaning, round_to)

    def sequences(
        self,
        owner: str,
        x: Tensor,
        *,
        lengths: Integers | None = None,
        cu_seqlens: Integers | None = None,
        position_ids: Tensor | None = None,
        **mask: Tensor | None,
    ) -> Sequences | None:
        """Read the arguments of a call; None with "tokens".

        Args:
            owner: what errors name.
            x: the input, `[..., seq, hidden]`, or packed tokens, `[total, hidden]`.
            lengths: as in `fnet_kernels.fourier_mix`.
            cu_seqlens: as in `fnet_kernels.fourier_mix_varlen`.
            position_ids: of the tokens of a model; with "exact" and nothing else, positions that
                start again say where packed sequences start.
            mask: one argument by its name, `[..., seq]`, true or 1 for the tokens of a sequence.
        """
        if self.meaning == "tokens":
            for name, value in (("lengths", lengths), ("cu_seqlens", cu_seqlens)):
                if value is not None:
                    raise ValueError(
                        f"{owner}: {name} must be None with padding='tokens', which mixes padding"
                        " as tokens; padding='exact' mixes each sequence over its own length"
                    )
            for name, value in mask.items():  # attention reads it
                if value is not None and not x.is_nested:
                    check_per_token(owner, name, value, x.shape[:-1])
            return None
        given = {"lengths": lengths, "cu_seqlens": cu_seqlens, **mask}
        names = [name for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise ValueError(
                f"{owner}: at most one of {', '.join(given)} must be given, got"
                f" {' and '.join(names)}"
            )
        if x.is_nested:  # without padding: the operators mix each of its sequences alone
            if names or self.round_to is not None:
                what = names[0] if names else "round_to"
                raise ValueError(f"{owner}: {what} must be None for a nested tensor")
            return None
        if not names and self.meaning == "exact":
            cu_seqlens = _starts(owner, position_ids, x.shape[:-1])
        if cu_seqlens is not None:
            return self._packed(owner, x, cu_seqlens)
        if lengths is None and names:
            kept = _kept(owner, names[0], mask[names[0]], x, self.meaning)
            return self._of_mask(owner, kept, x, kept)
        if isinstance(lengths, Tensor) and _is_unknown(lengths):
            kept = _kept_of_traced(owner, lengths, x, self.meaning)
            return self._of_mask(owner, kept, x, lengths)
        if lengths is not None:
            return self._padded(x, lengths_of_rows(owner, lengths, x))
        if self.round_to is None:
            return Sequences(None)
        if is_traced() or any(map(is_symbolic, x.shape[:-1])):
            # The graph also serves other lengths, which may be multiples or not.
            kept = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)
            return Traced(kept, self.round_to, whole=True)
        return self._padded(x, [x.size(-2)] * prod(x.shape[:-2]))

    def _of_mask(self, owner: str, kept: Tensor, x: Tensor, given: Tensor) -> Sequences:
        """The sequences of a mask that is made of `given`, itself or lengths."""
        if self.meaning == "exact" and not _is_unknown(kept):
            return self._padded(x, lengths_of_rows(owner, kept.sum(-1), x))
        kept = kept.to(x.device)
        if self.meaning == "zero":
            return Sequences(kept)
        unchecked = why_unreadable(given) is not None
        return Traced(kept, self.round_to, given if unchecked else None)

    def _padded(self, x: Tensor, lengths: list[int]) -> Sequences:
        shape, seq = x.shape[:-1], x.size(-2)
        full = not is_traced() and all(length == seq for length in lengths)
        if full and seq % (self.round_to or 1) == 0:  # a trace would take another seq for full too
            return Sequences(None)
        if self.meaning == "zero":
            return Sequences(prefix(lengths, seq, x.device).view(shape))
        return Packed(lengths, shape, padded=True, round_to=self.round_to, device=x.device)

    def _packed(self, owner: str, x: Tensor, cu_seqlens: Integers) -> Sequences:
        if self.meaning != "exact":
            raise ValueError(
                f"{owner}: cu_seqlens must be None with padding={self.meaning!r}: packed sequences"
                " have no padding; use padding='exact'"
            )
        shape = x.shape[:-1]
        if prod(shape[:-1]) != 1:
            raise ValueError(
                f"{owner}: with cu_seqlens, the input must be packed tokens, [total] or [1, total];"
                f" got shape {tuple(shape)}"
            )
        lengths = lengths_of_offsets(owner, cu_seqlens, shape[-1])
        return Packed(lengths, shape, padded=False, round_to=self.round_to, device=x.device)


def _starts(owner: str, position_ids: Tensor | None, shape: Sequence[int]) -> list[int] | None:
    """Where sequences start among tokens whose positions start again, and last their number."""
    if position_ids is None or position_ids.is_meta:
        return None
    first, before, after = position_ids[..., :1], position_ids[..., :-1], position_ids[..., 1:]
    again = (after < before) | (after == first)
    if torch.compiler.is_exporting() or (torch.compiler.is_compiling() and prod(shape[:-1]) != 1):
        # Packed tokens break the graph below. What is exported has no graph but this one.
        message = (
            f"{owner}: position_ids that start again must come with cu_seqlens in a graph, which"
            " cannot read from them where packed sequences start"
        )
        torch._assert_async(~again.any(), message)
        return None
    if reason := why_unreadable(position_ids):
        raise ValueError(
            f"{owner}: position_ids must be None without attention_mask, or a tensor whose values"
            f" Python can read, because they say where packed sequences start; got {reason}"
        )
    check_not_captured(owner, "position_ids", position_ids)
    starts = pad(again, (1, 0), value=True)
    if not starts[..., 1:].any():
        return None
    if prod(shape[:-1]) != 1:
        raise ValueError(
            f"{owner}: position_ids that start again must be those of packed tokens, [1, total];"
            f" got tokens of shape {tuple(shape)}"
        )
    return [*starts.flatten().nonzero().flatten().tolist(), starts.numel()]


def _is_unknown(value: Tensor) -> bool:
    """Whether the elements of `value` are unknown now, or would be constants of a graph."""
    return torch.compiler.is_compiling() or why_unreadable(value) is not None


def _kept_of_traced(owner: str, lengths: Tensor, x: Tensor, meaning: str) -> Tensor:
    """`lengths`, whose values are unknown now, as booleans; a graph checks the values."""
    if lengths.dtype is torch.bool:
        return _kept(owner, "lengths", lengths, x, meaning)
    seq = x.size(-2)
    check_lengths_tensor(owner, lengths, x)
    if torch.compiler.is_compiling():
        message = f"{owner}: lengths must be between 0 and the rows of each sequence of x"
        torch._assert_async(((lengths >= 0) & (lengths <= seq)).all(), message)
    return prefix(lengths, seq, x.device)


def _kept(owner: str, name: str, mask: Any, x: Tensor, meaning: str) -> Tensor:
    """`mask` as booleans, after checking that padding is on the right."""
    check_mask(owner, name, mask, x.shape[:-1])
    check_beside(owner, name, mask, x)
    kept: Tensor = mask.bool()
    # Not kept == ...: numbers other than 0 and 1 may say which of several sequences has a token.
    right = mask == prefix(kept.sum(-1), kept.size(-1), kept.device)
    which, how = "keep the first tokens", ", by 1 and 0"
    if name == "key_padding_mask":  # the opposite of the other masks
        which, how = "be True for the last tokens", ""
    message = (
        f"{owner}: {name} must {which} of each row and no others (padding on the right){how}, with"
        f" padding={meaning!r}"
    )
    if torch.compiler.is_compiling():  # a graph cannot branch on a value
        torch._assert_async(right.all(), message)
        return kept
    if why_without_values(kept) is not None:
        return kept
    check_not_captured(owner, name, kept)
    if not right.all():
        rows = right.flatten(0, -2).all(-1) if right.dim() > 1 else right.all()
        raise ValueError(f"{message}; got another mask in row {int(rows.int().argmin())}")
    return kept
