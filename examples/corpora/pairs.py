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
    """`count` pairs of the documents, an even number, half of them with one topic.

    Two documents of different topics, a and b, are drawn at random. They give the pair (a, b), and
    in turns (a, c) or (c, b), where c is another document of the topic of a or b. So each topic is
    as frequent in either place of both kinds of pairs. Topics of one text have no pair. A pair
    may come twice.
    """
    by_topic: dict[str, list[str]] = defaultdict(list)
    for text, topic in documents:
        by_topic[topic].append(text)
    usable = [(text, topic) for text, topic in documents if len(set(by_topic[topic])) > 1]
    if len({topic for _, topic in usable}) < 2:
        raise DataError(
            f"pairs need two topics with two documents each, got {len(documents)} documents"
        )
    chance = random.Random(seed)

    def another(text: str, topic: str) -> str:
        found = text
        while found == text:
            found = chance.choice(by_topic[topic])
        return found

    pairs: list[tuple[str, str, int]] = []
    while len(pairs) < count:
        (a, topic_a), (b, topic_b) = chance.choice(usable), chance.choice(usable)
        if topic_a != topic_b:
            same = (a, another(a, topic_a)) if len(pairs) % 4 else (another(b, topic_b), b)
            pairs += [(a, b, 0), (*same, 1)]
    chance.shuffle(pairs)
    first, second, labels = zip(*pairs, strict=True)
    return Split(first, labels, second)


def pair_dataset(
    name: str, train: Documents, validation: Documents, test: Documents, source: str
) -> Dataset:
    """Pairs within each split, so that no document is in two splits."""
    counts = (TRAIN, HELD_OUT, HELD_OUT)
    documents = (train, validation, test)
    a, b, c = (draw(documents[i], counts[i], SEED + i) for i in range(3))
    return Dataset(name, CLASSES, a, b, c, digest((a, b, c)), source)
