"""Whether sets have no member in common."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable


def disjoint(sets: Iterable[Collection[Hashable]]) -> bool:
    """Whether no member is in two of the sets.

    >>> disjoint([{1, 2}, {3}]), disjoint([{1, 2}, {3}, {2}])
    (True, False)
    """
    every = [set(one) for one in sets]
    return len(set().union(*every)) == sum(map(len, every))
