"""The losses of the heads.

defines: check_labels, token_loss, position_loss
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fnet_kernels._ops.checks import kind


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
    return cross_entropy(logits.reshape(-1, logits.size(-1)), labels.flatten().long())


def position_loss(logits: Tensor, positions: Tensor, kept: Tensor | None) -> Tensor:
    """Cross-entropy of the last axis, a sequence whose tokens are `kept`, or all of them.

    Positions past a sequence are ignored.
    """
    outside = logits.size(-1)
    length = outside if kept is None else kept.sum(-1).flatten()
    places = positions.flatten().long().clamp(min=0)
    places = places.masked_fill(places >= length, outside)
    return cross_entropy(logits.reshape(-1, outside), places, ignore_index=outside)
