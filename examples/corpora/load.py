"""One door to all data: a set by its name, or a folder of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from examples.corpora.dataset import Dataset
from examples.corpora.errors import DataError
from examples.corpora.topics import topic_pairs, topics

SETS: dict[str, Callable[[], Dataset]] = {
    "r8": partial(topics, "r8"),
    "r8-pairs": partial(topic_pairs, "r8"),
    "r52": partial(topics, "r52"),
    "20newsgroups": partial(topics, "20newsgroups"),
    "20newsgroups-pairs": partial(topic_pairs, "20newsgroups"),
}


def load(data: str) -> Dataset:
    """The data set of that name.

    Raises:
        DataError: No such set, or it cannot be fetched.
    """
    if data in SETS:
        return SETS[data]()
    raise DataError(f"no data set {data!r}; known are {', '.join(SETS)}")
