"""Documents cut into pieces of whole sentences, two of which make an example of pre-training.

defines: Pieces, cut, pair
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from examples.training.batches import Rows
from examples.training.encode import CLS, PADDING, SEP, Encoder, Ids, Text

_BREAK = re.compile(r"(?<=[.!?])\s+|\n+")
#: More than any document has.
_ALL = 1 << 40


@dataclass(frozen=True)
class Pieces:
    """Piece i has the tokens `ids[offsets[i] : offsets[i + 1]]` and is of document `document[i]`.

    `firsts` are the pieces that another one of their document follows.
    """

    ids: Ids
    offsets: NDArray[np.int64]
    document: NDArray[np.int64]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    @cached_property
    def firsts(self) -> Rows:
        return np.flatnonzero(self.document[1:] == self.document[:-1])


def cut(texts: Iterable[Text], encoder: Encoder, seq: int) -> Pieces:
    """Cut documents so that two pieces and three special tokens fit into `seq` tokens.

    A document of one piece is cut into two, so that it has a next one.
    """
    if seq < 5:
        raise SystemExit(f"--seq must be at least 5, with [CLS] and two [SEP]; got {seq}")
    most = (seq - 3) // 2
    pieces: list[Ids] = []
    document: list[int] = []
    for number, text in enumerate(texts):
        string = text if isinstance(text, str) else text.decode(errors="replace")
        sentences = encoder.encode(_BREAK.split(string), _ALL)
        total = sum(map(len, sentences))
        found = list(_pack(sentences, max(1, min(most, (total + 1) // 2))))
        pieces += found
        document += [number] * len(found)
    offsets = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    ids = np.concatenate(pieces) if pieces else np.zeros(0, np.int32)
    return Pieces(ids, offsets, np.array(document, np.int64))


def _pack(sentences: Sequence[Ids], most: int) -> Iterator[Ids]:
    """Join whole sentences to pieces of at most `most` tokens; cut a sentence that is longer."""
    held: list[Ids] = []
    size = 0
    for sentence in sentences:
        if held and size + len(sentence) > most:
            yield np.concatenate(held)
            held, size = [], 0
        for start in range(0, len(sentence), most):
            part = sentence[start : start + most]
            if len(part) == most:
                yield part
            else:
                held, size = [*held, part], size + len(part)
    if held:
        yield np.concatenate(held)


def pair(
    pieces: Pieces, rows: Rows, chance: np.random.Generator, seq: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Make examples [CLS] piece [SEP] other [SEP] of the pieces `rows`, which are of `firsts`.

    The other piece follows the first, or one in another document, each with probability 1/2. It is
    never the first of a document, so alone it does not tell which.

    Returns:
        `ids` and token types, `[rows, seq]`, padded, and labels, `[rows]`: 0 if it follows.
    """
    follows = chance.random(len(rows)) < 0.5
    others = pieces.firsts + 1
    # Draw as if those of the own document were not there, then move past them.
    begin, end = (
        np.searchsorted(pieces.document[others], pieces.document[rows], side)
        for side in ("left", "right")
    )
    drawn = chance.integers(0, len(others) - (end - begin))
    drawn += np.where(drawn >= begin, end - begin, 0)
    second = np.where(follows, rows + 1, others[drawn])

    columns = np.arange(seq)
    first_length = pieces.lengths[rows][:, None]
    second_start = first_length + 2
    last = second_start + pieces.lengths[second][:, None]
    in_first = (columns > 0) & (columns <= first_length)
    in_second = (columns >= second_start) & (columns < last)
    where = np.where(in_first, pieces.offsets[rows][:, None] + columns - 1, 0)
    other = pieces.offsets[second][:, None] + columns - second_start
    where = np.where(in_second, other, where)
    ids = np.where(in_first | in_second, pieces.ids[where], PADDING).astype(np.int64)
    ids[(columns == first_length + 1) | (columns == last)] = SEP
    ids[:, 0] = CLS
    types = ((columns >= second_start) & (columns <= last)).astype(np.int64)
    return ids, types, (~follows).astype(np.int64)
