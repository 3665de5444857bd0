"""Pairs of documents: do they have the same topic?

No feature of one text alone says anything about the answer, so a model that adds up features of
tokens stays near one half and a model must compare.
"""

from __future__ import annotations

import random
from collections import defaultdict

from examples.corpora.dataset import Dataset, Split
from examples.corpora.documents import Documents, digest
from examples.corpora.errors import DataError
from examples.corpora.splits import SEED

CLASSES = ("different", "same")
#: Pairs of the training split, and of each of the other splits.
TRAIN, HELD_OUT = 60_000, 4_000


def draw(documents: Documents, count: int, seed: int) -> Split:
    """`count` distinct pairs of the documents, half of them with one topic.

    Two documents of different topics, a and b, are drawn at random. They give the pair (a, b) and
    the pair (a, c) or (c, b), where c is another document of the kept document's topic. The two
    kinds then hold every topic equally often in expectation, in either place.
    """
    by_topic: dict[str, list[str]] = defaultdict(list)
    for text, topic in documents:
        by_topic[topic].append(text)
    chance = random.Random(seed)
    same: set[tuple[str, str]] = set()
    different: set[tuple[str, str]] = set()
    for _ in range(100 * count):  # few draws are refused, unless the documents are too few
        if len(different) == count // 2:
            break
        (a, topic_a), (b, topic_b) = chance.choice(documents), chance.choice(documents)
        if topic_a == topic_b or (a, b) in different:
            continue
        if len(different) % 2:
            pair = (a, chance.choice(by_topic[topic_a]))
        else:
            pair = (chance.choice(by_topic[topic_b]), b)
        if pair[0] != pair[1] and pair not in same:
            different.add((a, b))
            same.add(pair)
    else:
        raise DataError(
            f"cannot draw {count} pairs from {len(documents)} documents of {len(by_topic)} topics"
        )
    labelled = [(*pair, 0) for pair in sorted(different)] + [(*pair, 1) for pair in sorted(same)]
    chance.shuffle(labelled)
    first, second, labels = zip(*labelled, strict=True)
    return Split(first, labels, second)


def pair_dataset(
    name: str, train: Documents, validation: Documents, test: Documents, source: str
) -> Dataset:
    """Pairs within each split, so that no document is in two splits."""
    counts = (TRAIN, HELD_OUT, HELD_OUT)
    documents = (train, validation, test)
    a, b, c = (draw(documents[i], counts[i], SEED + i) for i in range(3))
    return Dataset(name, CLASSES, a, b, c, digest((a, b, c)), source)
