"""The losses of the heads.

defines: answers, check_labels, token_loss
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fnet_kernels._ops.checks import check_below, check_indices, kind
from fnet_kernels._sequences import Sequences, without_padding


def check_labels(owner: str, name: str, labels: object, shape: torch.Size) -> None:
    """Check that `labels` are a tensor of `shape`, or with a last axis of 1 besides."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{owner}: {name} must be a torch.Tensor, got {kind(labels)}")
    if labels.shape not in (shape, (*shape, 1)):
        raise ValueError(
            f"{owner}: {name} of {labels.dtype} must have shape {tuple(shape)}; got shape"
            f" {tuple(labels.shape)}"
        )


def token_loss(owner: str, name: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the last axis; labels of -100 are ignored."""
    check_labels(owner, name, labels, logits.shape[:-1])
    check_indices(owner, name, labels)
    check_below(owner, name, labels, logits.size(-1), ignored=-100)
    return cross_entropy(logits.reshape(-1, logits.size(-1)), labels.flatten().long())


def answers(
    owner: str,
    logits: Tensor,
    sequences: Sequences | None,
    start_positions: Tensor | None,
    end_positions: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Where answers start and end: the logits without padding, and the loss if both are given.

    Args:
        owner: what errors name.
        logits: of all tokens, `[..., seq, 2]`, or of packed ones, `[total, 2]`.
        sequences: of these tokens.
        start_positions: one for each sequence, counted from its start.
        end_positions: likewise.
    """
    each, kept = (logits, None) if sequences is None else sequences.by_sequence(logits)
    each = without_padding(each, kept)
    result = logits if sequences is not None and sequences.packed else each
    if start_positions is None or end_positions is None:
        return result, None
    start, end = each.unbind(-1)
    for name, positions in (("start", start_positions), ("end", end_positions)):
        check_labels(owner, f"{name}_positions", positions, start.shape[:-1])
        check_indices(owner, f"{name}_positions", positions)
    loss = _position_loss(start, start_positions, kept) + _position_loss(end, end_positions, kept)
    return result, loss / 2


def _position_loss(logits: Tensor, positions: Tensor, kept: Tensor | None) -> Tensor:
    """Cross-entropy of the last axis, a sequence whose tokens are `kept`, or all of them.

    Positions past a sequence are ignored.
    """
    outside = logits.size(-1)
    length = outside if kept is None else kept.sum(-1).flatten()
    places = positions.flatten().long().clamp(min=0)
    places = places.masked_fill(places >= length, outside)
    return cross_entropy(logits.reshape(len(places), outside), places, ignore_index=outside)
