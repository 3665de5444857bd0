"""Group texts that are nearly the same, so that no split knows what another one asks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from zlib import crc32

SHINGLE = 5  # words that follow each other
SKETCH = 128  # shingles that stand for a text


def sketch(text: str) -> frozenset[int]:
    """The shingles with the smallest hashes: a fixed random sample of all shingles.

    The overlap of sketches estimates the overlap of two texts (Broder, On the resemblance and
    containment of documents, 1997), if they are about equally long. A text and one three times as
    long that contains it share about a third of their sketches.
    """
    words = re.findall(r"\w+", text.lower())
    windows = range(max(1, len(words) - SHINGLE + 1))
    hashes = {crc32(" ".join(words[at : at + SHINGLE]).encode()) for at in windows}
    return frozenset(sorted(hashes)[:SKETCH])


def groups(texts: Sequence[str], *keys: Sequence[Iterable[Hashable]], share: float) -> list[int]:
    """A group number for each text.

    Two texts are in one group if they have a key in common, or at least the `share` of the
    smaller sketch; and so are their groups.

    Args:
        keys: For each kind of key, the keys of each text, as family names or thread names.
    """
    sets = _Sets(len(texts))
    for kind in keys:
        first: dict[Hashable, int] = {}
        for index, its_keys in enumerate(kind):
            for key in its_keys:
                sets.join(index, first.setdefault(key, index))
    sketches = [sketch(text) for text in texts]
    holders: dict[int, list[int]] = defaultdict(list)
    for index, shingles in enumerate(sketches):
        common = Counter(other for shingle in shingles for other in holders[shingle])
        for other, count in common.items():
            if count >= share * min(len(shingles), len(sketches[other])):
                sets.join(index, other)
        for shingle in shingles:
            holders[shingle].append(index)
    return [sets.root(index) for index in range(len(texts))]


class _Sets:
    """Disjoint sets of the numbers below `size`."""

    def __init__(self, size: int) -> None:
        self.parent = list(range(size))

    def root(self, index: int) -> int:
        while self.parent[index] != index:
            self.parent[index] = self.parent[self.parent[index]]
            index = self.parent[index]
        return index

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        self.parent[high] = low
