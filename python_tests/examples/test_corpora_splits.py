"""Splits have no document, no group and no near-duplicate in common."""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain

import pytest

from examples.corpora.dataset import Split
from examples.corpora.documents import digest, distinct, text_dataset
from examples.corpora.errors import DataError
from examples.corpora.similar import groups, sketch
from examples.corpora.splits import cut, folds, parts
from python_tests.helpers.disjoint import disjoint

WORDS = [f"w{i}" for i in range(3000)]


def text(seed: int, words: int = 300) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)


def test_a_cut_is_disjoint_whole_and_always_the_same() -> None:
    examples = list(range(1000))
    kept, taken = cut(examples, 0.1)
    assert sorted(kept + taken) == examples
    assert len(taken) == 100
    assert (kept, taken) == cut(examples, 0.1)
    assert max(taken) - min(taken) > 800  # from all of them


def test_parts_keep_groups_together_and_are_even() -> None:
    groups = [i // 7 for i in range(700)] + [1000] * 60
    found = parts(groups, ["a"] * 760, 10)
    for group in set(groups):
        assert len({part for part, other in zip(found, groups, strict=True) if other == group}) == 1
    assert set(Counter(found).values()) <= set(range(70, 85))
    assert parts(groups, ["a"] * 760, 10) == found


def test_parts_share_out_each_label() -> None:
    groups = [i // 4 for i in range(600)]
    labels = ["rare" if group % 10 == 0 else f"common {group % 2}" for group in groups]
    found = parts(groups, labels, 10)
    for label in set(labels):
        counts = Counter(p for p, other in zip(found, labels, strict=True) if other == label)
        assert len(counts) == 10
        assert max(counts.values()) - min(counts.values()) <= 4


def test_folds_test_each_example_once_and_mix_no_group() -> None:
    group = [i // 3 for i in range(300)]
    examples = [(i, "label") for i in range(300)]
    tested: list[int] = []
    for fold in range(5):
        splits = [[i for i, _ in split] for split in folds(examples, group, fold)]
        assert sorted(chain(*splits)) == list(range(300))
        seen = [{group[i] for i in split} for split in splits]
        assert disjoint(seen)
        assert [len(split) for split in splits] == [210, 30, 60]
        tested += splits[2]
    assert sorted(tested) == list(range(300))
    with pytest.raises(DataError, match="--fold must be 0 to 4, got 5"):
        folds(examples, group, 5)


def test_sketches_of_near_duplicates_overlap() -> None:
    one = text(0)
    changed = [*one[:150], "another", *one[151:]]
    assert len(sketch(" ".join(one)) & sketch(" ".join(changed))) > 110
    assert not sketch(" ".join(one)) & sketch(" ".join(text(1)))
    assert sketch("Some, WORDS of five or more.") == sketch("some words of five\nor more")


def test_groups_join_near_duplicates_and_common_keys() -> None:
    one, two, three = text(0), text(1), text(2)
    near = [*one[:150], "x", *one[151:]]
    texts = [" ".join(words) for words in (one, two, three, near, text(3))]
    alone = groups(texts, share=0.5)
    assert alone[0] == alone[3]
    assert len(set(alone)) == 4
    keyed = groups(texts, [["a"], [], ["b"], [], ["b"]], [[], ["m"], [], ["m"], []], share=0.5)
    assert keyed[0] == keyed[3] == keyed[1]  # by text, then by the key m
    assert keyed[2] == keyed[4] != keyed[0]


def test_groups_need_more_than_a_shared_sentence() -> None:
    sentence = text(9, 30)
    texts = [" ".join([*text(i), *sentence]) for i in range(2)]
    assert len(set(groups(texts, share=0.5))) == 2


def test_distinct_keeps_the_first_and_what_others_lack() -> None:
    documents = [("b", "1"), ("a", "2"), ("b", "3"), ("c", "1")]
    assert distinct(documents) == [("b", "1"), ("a", "2"), ("c", "1")]
    assert distinct(documents, seen=[("a", "9")]) == [("b", "1"), ("c", "1")]


def test_the_hash_sees_every_part_of_an_example() -> None:
    base = Split(["a", "b"], [0, 1], ["c", "d"])
    others = [
        Split(["a", "x"], [0, 1], ["c", "d"]),
        Split(["a", "b"], [1, 1], ["c", "d"]),
        Split(["a", "b"], [0, 1], ["c", "x"]),
        Split(["b", "a"], [0, 1], ["c", "d"]),
        Split(["a", "b"], [0, 1]),
    ]
    assert len({digest([split]) for split in (base, *others)}) == 6
    assert digest([base]) == digest([Split(["a", "b"], [0, 1], ["c", "d"])])


def test_labels_index_the_classes() -> None:
    dataset = text_dataset("t", [("x", "zoo"), ("y", "art")], [("z", "zoo")], [], "here")
    assert dataset.classes == ("art", "zoo")
    assert dataset.train == Split(("x", "y"), (1, 0))
    assert dataset.validation.labels == (1,)
    assert len(dataset.test.inputs) == 0
