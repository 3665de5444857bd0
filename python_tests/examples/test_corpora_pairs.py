"""Pairs of documents: balanced, and of nothing that one text tells."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from examples.corpora import pairs
from examples.corpora.errors import DataError
from examples.corpora.pairs import draw, pair_dataset

TOPICS = {"large": 300, "middle": 100, "small": 20}
DOCUMENTS = [(f"{topic} {i}", topic) for topic, count in TOPICS.items() for i in range(count)]


def topic(text: str) -> str:
    return text.split()[0]


def test_labels_say_whether_the_topics_are_equal() -> None:
    split = draw(DOCUMENTS, 2000, 0)
    assert split.pairs is not None
    for a, b, label in zip(split.inputs, split.pairs, split.labels, strict=True):
        assert isinstance(a, str)
        assert isinstance(b, str)
        assert a != b
        assert label == (topic(a) == topic(b))
    assert Counter(split.labels) == {0: 1000, 1: 1000}
    assert len(set(zip(split.inputs, split.pairs, strict=True))) > 1900


def test_one_text_alone_tells_nothing() -> None:
    """The share of pairs with one topic is one half for each topic in each place."""
    split = draw(DOCUMENTS, 20_000, 0)
    assert split.pairs is not None
    for texts in (split.inputs, split.pairs):
        of_topic = Counter(topic(str(text)) for text in texts)
        same = Counter(
            topic(str(text)) for text, label in zip(texts, split.labels, strict=True) if label
        )
        for name, count in of_topic.items():
            spread = (0.25 / count) ** 0.5
            assert abs(same[name] / count - 0.5) < 4 * spread


def test_a_topic_of_one_text_has_no_pair() -> None:
    again = [("alone 0", "alone")] * 3  # has no other text to pair with
    split = draw([*DOCUMENTS, *again], 400, 0)
    assert "alone 0" not in {*split.inputs, *(split.pairs or ())}


def test_pairs_are_those_of_the_seed() -> None:
    assert draw(DOCUMENTS, 500, 3) == draw(DOCUMENTS, 500, 3)
    assert draw(DOCUMENTS, 500, 3) != draw(DOCUMENTS, 500, 4)


def test_the_classes_are_mixed() -> None:
    labels = draw(DOCUMENTS, 1000, 0).labels
    assert 350 < sum(a != b for a, b in pairwise(labels)) < 650


def test_no_document_is_in_two_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "TRAIN", 1000)
    monkeypatch.setattr(pairs, "HELD_OUT", 100)
    thirds = [DOCUMENTS[i::3] for i in range(3)]
    dataset = pair_dataset("p", *thirds, "here")
    for split, documents in zip(
        (dataset.train, dataset.validation, dataset.test), thirds, strict=True
    ):
        assert split.pairs is not None
        assert {*split.inputs, *split.pairs} <= {text for text, _ in documents}
    assert dataset.classes == ("different", "same")
    assert len(dataset.train.labels) == 1000


@pytest.mark.parametrize("documents", [DOCUMENTS[:50], DOCUMENTS[299:310]])
def test_too_few_topics(documents: list[tuple[str, str]]) -> None:
    with pytest.raises(DataError, match="pairs need two topics with two documents each"):
        draw(documents, 10, 0)
