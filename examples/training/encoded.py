"""The examples of a split as arrays, so that a batch costs no work per token.

defines: Encoded, encode_split
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.corpora.dataset import Split
from examples.training.encode import CLS, SEP, Encoder, Ids


@dataclass(frozen=True)
class Encoded:
    """The tokens of all examples, one after the other.

    Example i has the tokens `ids[offsets[i] : offsets[i + 1]]`; its second text starts at token
    `second[i]` of them. `labels` are integers, or numbers of a regression.
    """

    ids: Ids
    offsets: NDArray[np.int64]
    second: NDArray[np.int64] | None
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)


def encode_split(split: Split, encoder: Encoder | None, seq: int, pooling: str) -> Encoded:
    """Encode a split, in at most `seq` tokens an example.

    A text becomes [CLS] text [SEP], a pair [CLS] text [SEP] second text [SEP], of which the longer
    text is cut first. A `seq` without room for a token of each text ends the program. Inputs that
    are ids already (`encoder` is None) stay as they are, after a [CLS] for a classifier that reads
    it.
    """
    second = None
    if encoder is None:
        front = [CLS] if pooling == "cls" else []
        given: Sequence[Any] = split.inputs
        parts = [_ids(front, one[: seq - len(front)]) for one in given]
    elif seq < (least := 3 if split.pairs is None else 5):
        raise SystemExit(f"--seq must be at least {least}, with [CLS] and [SEP]; got {seq}")
    elif split.pairs is None:
        parts = [_ids([CLS], one, [SEP]) for one in _encode(encoder, split.inputs, seq - 2)]
    else:
        room = seq - 3
        both = (_encode(encoder, texts, room) for texts in (split.inputs, split.pairs))
        cut = [_fit(a, b, room) for a, b in zip(*both, strict=True)]
        parts = [_ids([CLS], a, [SEP], b, [SEP]) for a, b in cut]
        second = np.array([len(a) + 2 for a, _ in cut], np.int64)
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    return Encoded(ids, offsets, second, np.asarray(split.labels))


def _encode(encoder: Encoder, texts: Any, most: int) -> list[Ids]:
    """Encode each distinct text once: in pairs, texts come often."""
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    found = encoder.encode(distinct, max(most, 0))
    return [found[distinct[text]] for text in texts]


def _fit(a: Ids, b: Ids, room: int) -> tuple[Ids, Ids]:
    """Cut the longer of two texts, and then both, to `room` tokens together."""
    kept = min(len(a), max(room // 2, room - len(b)))
    return a[:kept], b[: room - kept]


def _ids(*parts: Sequence[int] | Ids) -> Ids:
    return np.concatenate([np.asarray(part, np.int32) for part in parts])
