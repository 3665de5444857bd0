"""The masked positions of masked language modelling (BERT, arXiv 1810.04805, section 3.1).

defines: IGNORED, mask_tokens
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.training.encode import FIRST, MASK

#: The label that counts in no loss.
IGNORED = -100
Integers = NDArray[np.int64]


def mask_tokens(
    ids: Integers, chance: np.random.Generator, vocabulary: int, share: float, most: int
) -> tuple[Integers, Integers, Integers]:
    """Choose `share` of the tokens of each row, at least 1 and at most `most`.

    Special tokens and unknown words are not chosen. Of the chosen ones 80 % become [MASK], 10 % a
    random token, and 10 % stay.

    Args:
        ids: `[rows, seq]`.

    Returns:
        The new ids, and the positions chosen and their labels, `[rows, k]`: the tokens before. k
        depends on `seq` alone; unused positions are 0 and their labels `IGNORED`.
    """
    plain = ids >= FIRST
    width = max(1, min(most, round(share * ids.shape[1])))
    count = np.minimum(np.clip(np.rint(share * plain.sum(1)), 1, width), plain.sum(1))
    keys = np.where(plain, chance.random(ids.shape), 2.0)
    order = np.argsort(keys, axis=1)[:, :width]
    used = np.arange(order.shape[1]) < count[:, None]
    labels = np.where(used, np.take_along_axis(ids, order, 1), IGNORED)
    coin = chance.random(order.shape)
    others = chance.integers(FIRST, vocabulary, order.shape)
    new = np.where(coin < 0.8, MASK, np.where(coin < 0.9, others, labels))
    rows, columns = np.nonzero(used)
    masked = ids.copy()
    masked[rows, order[rows, columns]] = new[rows, columns]
    return masked, np.where(used, order, 0), labels
