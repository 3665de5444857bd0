"""Encoders, batches, pieces and masks of the training programs, against their definitions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.corpora.dataset import Split
from examples.training import encode, masking, pieces
from examples.training.batches import Sampler, pad
from examples.training.encode import CLS, FIRST, MASK, PADDING, SEP, UNKNOWN, Bytes, Words
from examples.training.encoded import encode_split

TEXTS = ["The cat sat. The cat ran!", "A dog ran; the dog sat.", "cat dog"]


def test_bytes_are_those_of_utf8() -> None:
    (ids,) = Bytes().encode(["é!"], 10)
    assert (ids - FIRST).tolist() == [0xC3, 0xA9, ord("!")]
    (ids,) = Bytes().encode([b"abc"], 2)
    assert (ids - FIRST).tolist() == [97, 98]


def test_words_are_the_most_frequent_ones_in_lower_case() -> None:
    words = Words.learn(TEXTS, FIRST + 3)
    assert words.words == ["cat", "dog", "the"]  # 3 times each, and then "." and others twice
    assert words.vocabulary == FIRST + 3
    (ids,) = words.encode(["THE zebra, cat"], 10)
    assert ids.tolist() == [FIRST + 2, UNKNOWN, UNKNOWN, FIRST]
    assert "a" not in Words.learn(TEXTS, 1000).words  # occurs once
    assert Words.learn(TEXTS, FIRST - 2).words == []


@pytest.mark.parametrize("units", ["bytes", "words", "unigram"])
def test_an_encoder_that_was_saved_encodes_alike(units: str, tmp_path: Path) -> None:
    if units == "unigram":
        pytest.importorskip("tokenizers")
    texts = TEXTS * 20
    encoder = encode.learn(units, texts, 60)
    encode.save(encoder, tmp_path)
    again = encode.read(tmp_path)
    assert (again.units, again.vocabulary) == (units, encoder.vocabulary)
    for before, after in zip(encoder.encode(texts, 99), again.encode(texts, 99), strict=True):
        assert len(before)
        assert (before == after).all()
        assert before.min() >= UNKNOWN  # no special id
        assert before.max() < encoder.vocabulary


def test_a_text_gets_special_tokens_and_is_cut() -> None:
    split = Split(["abc", "abcdefgh"], [0, 1])
    found = encode_split(split, Bytes(), 6, "cls")
    assert found.lengths.tolist() == [5, 6]
    assert found.ids.tolist() == [
        *(CLS, *(FIRST + ord(c) for c in "abc"), SEP),
        *(CLS, *(FIRST + ord(c) for c in "abcd"), SEP),
    ]


@pytest.mark.parametrize(
    ("a", "b", "cut"),
    [
        ("aa", "bb", ("aa", "bb")),
        ("aaaaaaaa", "b", ("aaaaaa", "b")),
        ("a", "bbbbbbbb", ("a", "bbbbbb")),
        ("aaaaaa", "bbbbbb", ("aaa", "bbbb")),
    ],
)
def test_the_longer_text_of_a_pair_is_cut_first(a: str, b: str, cut: tuple[str, str]) -> None:
    found = encode_split(Split([a], [0], [b]), Bytes(), 10, "cls")
    first, second = ([FIRST + ord(c) for c in text] for text in cut)
    assert found.ids.tolist() == [CLS, *first, SEP, *second, SEP]
    assert found.second is not None
    assert found.second.tolist() == [len(first) + 2]


@pytest.mark.parametrize(("pooling", "front"), [("cls", [CLS]), ("mean", [])])
def test_ids_stay_as_they_are(pooling: str, front: list[int]) -> None:
    found = encode_split(Split([[2, 3, 4, 5, 6]], [0]), None, 4, pooling)
    assert found.ids.tolist() == [*front, 2, 3, 4, 5][:4]


def test_a_batch_is_padded_on_the_right() -> None:
    found = encode_split(Split(["a", "abc", "ab"], [0, 1, 2], ["x", "y", "zz"]), Bytes(), 99, "cls")
    for seq in (None, 12):
        batch = pad(found, np.array([2, 0]), seq)
        assert batch.ids.shape == (2, seq or 7)
        assert batch.labels.tolist() == [2, 0]
        assert batch.lengths == [7, 5]
        assert batch.types is not None
        for row, example in enumerate((2, 0)):
            begin, end = found.offsets[example], found.offsets[example + 1]
            length = end - begin
            assert batch.ids[row, :length].tolist() == found.ids[begin:end].tolist()
            assert (batch.ids[row, length:] == PADDING).all()
            assert batch.mask[row].sum() == length
            assert batch.mask[row, :length].all()
            second = found.second[example]
            expected = [0] * second + [1] * (length - second)
            assert batch.types[row, :length].tolist() == expected
            assert not batch.types[row, length:].any()


def test_an_epoch_has_each_example_once_and_another_order_than_the_next() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 1003)
    sampler = Sampler(lengths, 10, seed=3)
    assert sampler.steps_per_epoch == 100
    epochs = [[sampler.rows(100 * epoch + i) for i in range(100)] for epoch in (0, 1)]
    for epoch in epochs:
        counts = Counter(np.concatenate(epoch).tolist())
        assert len(counts) == 1000
        assert set(counts.values()) == {1}
    assert not np.array_equal(epochs[0], epochs[1])
    again = Sampler(lengths, 10, seed=3)
    assert np.array_equal(again.rows(142), epochs[1][42])  # without the steps before
    assert not np.array_equal(Sampler(lengths, 10, seed=4).rows(0), epochs[0][0])


@pytest.mark.parametrize("examples", [250, 800, 2000])
def test_the_next_epoch_has_other_batches(examples: int) -> None:
    lengths = np.random.default_rng(0).permutation(examples)
    sampler = Sampler(lengths, 10, seed=3)
    steps = sampler.steps_per_epoch
    first, second = ([set(sampler.rows(e * steps + i)) for i in range(steps)] for e in (0, 1))
    alike = [max(len(batch & other) for other in second) for batch in first]
    assert np.mean(alike) < 5  # of 10; 9 or more if an epoch is sorted at once


def test_a_batch_has_examples_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 500, 1000)
    sampler = Sampler(lengths, 10, seed=3)
    ranges = [np.ptp(lengths[sampler.rows(step)]) for step in range(100)]
    assert np.median(ranges) < 30  # of unsorted ones it is about 400
    starts = [lengths[sampler.rows(step)].mean() for step in range(100)]
    assert abs(np.corrcoef(starts, np.arange(100))[0, 1]) < 0.3  # but the batches are shuffled


DOCUMENTS = [
    "one two three. four five. six seven eight nine. ten one. two three four five six seven.",
    "alpha beta gamma delta alpha beta gamma delta alpha beta gamma delta",
    "uno dos tres. uno dos tres. uno dos tres. uno dos tres.",
]


def _cut(seq: int) -> tuple[pieces.Pieces, Words]:
    words = Words.learn(DOCUMENTS * 2, 1000)
    return pieces.cut(DOCUMENTS, words, seq), words


def test_pieces_hold_whole_documents_in_order() -> None:
    found, words = _cut(seq=17)
    assert found.lengths.max() <= 7
    for number, text in enumerate(DOCUMENTS):
        (whole,) = words.encode([text], 1000)
        mine = found.ids[np.repeat(found.document, found.lengths) == number]
        assert mine.tolist() == whole.tolist()
    # "one two three. four five." is 7 tokens, which fit; another sentence does not.
    assert found.lengths[0] == 7
    long = _cut(seq=1003)[0]  # a piece would hold any document, but each has a next one
    assert all(2 <= count <= 3 for count in Counter(long.document.tolist()).values())


def test_the_second_piece_follows_or_is_of_another_document() -> None:
    found, _ = _cut(seq=17)
    chance = np.random.default_rng(0)
    followed = 0
    for _ in range(50):
        rows = found.firsts
        ids, types, labels = pieces.pair(found, rows, chance, 17)
        followed += int((labels == 0).sum())
        for row, piece in enumerate(rows):
            length = found.lengths[piece]
            first = found.ids[found.offsets[piece] : found.offsets[piece + 1]]
            assert ids[row, : length + 2].tolist() == [CLS, *first, SEP]
            second = ids[row][types[row] == 1]
            assert second[-1] == SEP
            assert not ids[row, length + 2 + len(second) :].any()
            candidates = {
                tuple(found.ids[found.offsets[i] : found.offsets[i + 1]])
                for i in ([piece + 1] if labels[row] == 0 else found.firsts + 1)
                if labels[row] == 0 or found.document[i] != found.document[piece]
            }
            assert tuple(second[:-1]) in candidates
    share = followed / (50 * len(rows))
    assert 0.4 < share < 0.6


def test_masks_follow_the_shares_of_bert() -> None:
    chance = np.random.default_rng(0)
    ids = chance.integers(FIRST, 1000, (500, 100))
    ids[:, 0], ids[:, 50], ids[:, 7], ids[:, 80:] = CLS, SEP, UNKNOWN, PADDING
    masked, positions, labels = masking.mask_tokens(ids, chance, 1000, 0.15, 80)
    used = labels != masking.IGNORED
    assert (used.sum(1) == round(0.15 * 77)).all()
    assert positions.shape == (500, 15)
    before = np.take_along_axis(ids, positions, 1)
    assert (before[used] == labels[used]).all()
    assert (before[used] >= FIRST).all()  # no special token, no unknown word
    assert all(len(set(row[ok])) == ok.sum() for row, ok in zip(positions, used, strict=True))
    after = np.take_along_axis(masked, positions, 1)[used]
    shares = [(after == MASK).mean(), (after == labels[used]).mean()]
    assert shares == pytest.approx([0.8, 0.1], abs=0.02)
    untouched = np.ones_like(ids, bool)
    np.put_along_axis(untouched, np.where(used, positions, positions[:, :1]), False, 1)
    assert (masked == ids)[untouched].all()
    few = masking.mask_tokens(ids, chance, 1000, 0.15, 4)
    assert ((few[2] != masking.IGNORED).sum(1) == 4).all()


def test_a_row_of_special_tokens_has_no_mask() -> None:
    ids = np.array([[CLS, SEP, PADDING]])
    masked, _, labels = masking.mask_tokens(ids, np.random.default_rng(0), 10, 0.5, 80)
    assert (masked == ids).all()
    assert (labels == masking.IGNORED).all()


def test_batches_reach_torch_as_it_wants_them() -> None:
    found = encode_split(Split(["a", "b"], [0.5, 1.5]), Bytes(), 8, "cls")
    batch = pad(found, np.array([0, 1]), 8)
    assert batch.ids.dtype == torch.int64
    assert batch.types is None
    assert batch.labels.tolist() == [0.5, 1.5]
