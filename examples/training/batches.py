"""Batches: which examples a step has, and their tokens as padded tensors.

defines: Batch, Sampler, pad
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.training.encode import PADDING
from examples.training.encoded import Encoded

Rows = NDArray[np.int64]
#: The most batches whose examples are sorted by length before they are cut apart.
WINDOW = 32


@dataclass(frozen=True)
class Batch:
    """The tokens of a batch, `[rows, seq]`, with what the models take beside them."""

    ids: Tensor
    types: Tensor | None
    mask: Tensor
    lengths: list[int]
    labels: Tensor


class Sampler:
    """The examples of each step: a function of the seed and the step, so that it has no state.

    Each epoch has another order. Examples of similar length share a batch, which spares padding:
    windows of `WINDOW` batches are sorted by length, and the batches shuffled. A window is at most
    a quarter of an epoch, because a sorted epoch would have the same batches as the next one. An
    incomplete last batch is dropped.

    Args:
        lengths: tokens of each example.
        size: examples a step, in all processes together.
        seed: makes the order.
    """

    def __init__(self, lengths: NDArray[np.int64], size: int, seed: int) -> None:
        self.steps_per_epoch = len(lengths) // size
        self._lengths, self._size, self._seed = lengths, size, seed
        self._epoch = lru_cache(maxsize=1)(self._order)

    def rows(self, step: int) -> Rows:
        """The examples of a step, counted from 0, `[size]`."""
        epoch, index = divmod(step, self.steps_per_epoch)
        rows: Rows = self._epoch(epoch)[index]
        return rows

    def _order(self, epoch: int) -> Rows:
        chance = np.random.default_rng((self._seed, epoch))
        rows = chance.permutation(len(self._lengths))[: self.steps_per_epoch * self._size]
        size = self._size * max(1, min(WINDOW, self.steps_per_epoch // 4))
        for start in range(0, len(rows), size):
            window = rows[start : start + size]
            window[:] = window[np.argsort(self._lengths[window], kind="stable")]
        batches: Rows = rows.reshape(-1, self._size)
        return batches[chance.permutation(len(batches))]


def pad(
    examples: Encoded, rows: Rows, seq: int | None, device: torch.device | str = "cpu"
) -> Batch:
    """Make a batch of `rows`, padded to `seq` tokens, or to the longest if None."""
    starts, lengths = examples.offsets[rows], examples.lengths[rows]
    columns = np.arange(int(lengths.max()) if seq is None else seq)
    mask = columns < lengths[:, None]
    where = np.where(mask, starts[:, None] + columns, 0)
    ids = np.where(mask, examples.ids[where], PADDING).astype(np.int64)
    types = None
    if examples.second is not None:
        types = mask & (columns >= examples.second[rows, None])
    labels = examples.labels[rows]
    return Batch(
        torch.from_numpy(ids).to(device),
        None if types is None else torch.from_numpy(types.astype(np.int64)).to(device),
        torch.from_numpy(mask).to(device),
        lengths.tolist(),
        torch.from_numpy(labels).to(device),
    )
