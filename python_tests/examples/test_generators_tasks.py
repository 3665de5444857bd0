"""Generated examples: what they mean, and that they come again."""

from __future__ import annotations

import doctest
import random
import statistics
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from examples.corpora.dataset import Split
from examples.corpora.errors import DataError
from examples.generators import generate, listops, pathfinder
from examples.generators.generate import Task, generated
from examples.generators.listops import OFFICIAL, SHORT, Rules, example, root_operator_floor
from examples.generators.tasks import TASKS


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "fnet_kernels"


def value(expression: str) -> int:
    """The value of an expression, by substitution from the inside."""
    import re

    functions = {"MIN": min, "MAX": max, "SM": lambda v: sum(v) % 10}
    functions["MED"] = lambda v: int(statistics.median(v))
    inner = re.compile(r"\[(MIN|MAX|MED|SM)((?: \d+)+) \]")
    while match := inner.search(expression):
        result = functions[match[1]](list(map(int, match[2].split())))
        expression = expression[: match.start()] + str(result) + expression[match.end() :]
    return int(expression)


def depth(tokens: Sequence[int]) -> int:
    """The greatest number of operators that are open, and one for their digits."""
    open_now = deepest = 0
    for token in tokens:
        open_now += (token >= listops.OPERATOR) - 2 * (token == listops.CLOSE)
        deepest = max(deepest, open_now)
    return deepest + 1


@pytest.mark.parametrize("rules", [OFFICIAL, SHORT])
def test_expressions_have_their_values_and_sizes(rules: Rules) -> None:
    for seed in range(40):
        tokens, found = example(rules, random.Random(seed))
        assert value(listops.text(tokens)) == found
        assert rules.shorter < len(tokens) < rules.longer
        assert depth(tokens) <= rules.depth
        assert all(2 <= token < listops.VOCABULARY for token in tokens)


def test_closing_brackets_count() -> None:
    rules = Rules(depth=4, arguments=4, shorter=10, longer=30)
    sizes = [len(example(rules, random.Random(seed))[0]) for seed in range(3000)]
    assert (min(sizes), max(sizes)) == (11, 29)


def test_a_median_between_two_digits_is_rounded_down() -> None:
    assert value("[MED 3 6 ]") == 4
    names = dict(listops.OPERATORS)
    assert names["[MED"]([6, 3]) == 4
    assert names["[MED"]([9, 1, 5]) == 5


def test_the_text_of_an_expression() -> None:
    result = doctest.testmod(listops)
    assert result.attempted == 1
    assert result.failed == 0


def test_lists_have_2_to_most_arguments() -> None:
    counts: Counter[int] = Counter()
    rules = replace(SHORT, depth=2)  # no nesting
    for seed in range(300):
        tokens, _ = example(replace(rules, shorter=3), random.Random(seed))
        counts[len(tokens) - 2] += 1
    assert counts.keys() == {2, 3, 4, 5}
    assert min(counts.values()) > 40


def test_the_root_operator_says_much_of_the_value() -> None:
    """The floors of the short variant, as computed from 12,000 other examples: 24.6 and 11.9 %."""
    made = [example(SHORT, random.Random(seed)) for seed in range(12_000)]
    train, test = (
        Split([tokens for tokens, _ in part], [label for _, label in part])
        for part in (made[:6000], made[6000:])
    )
    assert abs(root_operator_floor(train, test) - 0.246) < 0.02
    commonest = Counter(train.labels).most_common(1)[0][0]
    assert abs(sum(label == commonest for label in test.labels) / 6000 - 0.119) < 0.02


def test_the_root_operator_floor_of_a_made_split() -> None:
    train = Split([[12, 2], [12, 2], [12, 2], [13, 2]], [0, 0, 1, 9])
    test = Split([[12, 3], [13, 3], [13, 3]], [0, 9, 1])
    assert root_operator_floor(train, test) == pytest.approx(2 / 3)


def test_pathfinder_draws_two_marks_and_dashes() -> None:
    labels = []
    for seed in range(30):
        image, label = pathfinder.picture(random.Random(seed))
        assert image.shape == (32, 32)
        assert image.min() == 0
        assert image.max() == 1
        # A disc of radius 1.5 covers 7 pixels; two of them may touch the border or each other.
        assert 7 <= (image == 1).sum() < 60
        assert 100 < (image > 0).sum() < 400
        labels.append(label)
    assert 5 < sum(labels) < 25


def test_the_label_says_whether_the_marks_are_on_one_contour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = {}

    def drawn(dashes: object, marks: object) -> object:
        seen["dashes"], seen["marks"] = list(dashes), marks  # type: ignore[call-overload]
        return np.zeros((32, 32))

    monkeypatch.setattr(pathfinder, "_drawn", drawn)
    for seed in range(20):
        _, label = pathfinder.picture(random.Random(seed))
        one, other = seen["dashes"][:14], seen["dashes"][14:28]
        assert len(seen["dashes"]) <= 28 + 5 * 4
        first, last = seen["marks"]
        assert first in (one[0][0], other[0][0])
        assert last in (one[-1][-1], other[-1][-1])
        assert label == ((first == one[0][0]) == (last == one[-1][-1]))
        assert np.hypot(*np.subtract(one[0][0], other[0][0])) == pytest.approx(7)
        for contour in (one, other):
            for dash, following in pairwise(contour):
                assert np.hypot(*np.subtract(dash[-1], dash[0])) == pytest.approx(2)
                assert np.hypot(*np.subtract(following[0], dash[-1])) <= 2 + 1e-9
        for a in np.reshape(one, (-1, 2)):
            for b in np.reshape(other, (-1, 2)):
                assert np.hypot(*(a - b)) >= 2


def test_a_dash_is_drawn_where_it_is() -> None:
    image = pathfinder._drawn([((16.25, 4.0), (16.25, 5.0), (16.25, 6.0))], ((30, 30), (30, 2)))
    assert list(zip(*np.nonzero(image[:24]), strict=True)) == [(16, x) for x in (3, 4, 5, 6)]
    # A line of points of two is on the dash, and one point of four beyond each of its ends.
    assert image[16, 3:7].tolist() == [0.375, 0.75, 0.75, 0.375]
    assert image[30, 30] == 1


def small(**changes: object) -> Task:
    return replace(TASKS["listops-short"], counts=(200, 20, 30), **changes)  # type: ignore[arg-type]


def test_a_generated_set_is_that_of_its_indices(own_cache: Path) -> None:
    task = small()
    dataset = generated(task)
    for name in generate.SPLITS:
        split: Split = getattr(dataset, name)
        for index in (0, 7, 19):
            ids, label = task.at(name, index)
            assert list(split.inputs[index]) == list(ids)
            assert split.labels[index] == label
    assert [len(s.labels) for s in (dataset.train, dataset.validation, dataset.test)] == [
        200,
        20,
        30,
    ]
    assert dataset.vocabulary == 17
    assert not {bytes(i) for i in dataset.train.inputs} & {bytes(i) for i in dataset.test.inputs}
    (file,) = own_cache.iterdir()
    written = file.stat().st_mtime_ns
    again = generated(task)
    assert (again.sha256, file.stat().st_mtime_ns) == (dataset.sha256, written)
    assert again.train.inputs[3] == dataset.train.inputs[3]


def test_other_sizes_are_another_file(own_cache: Path) -> None:
    generated(small())
    assert len(generated(replace(small(), counts=(10, 5, 5))).train.labels) == 10
    assert len(list(own_cache.iterdir())) == 2


def test_held_out_examples_are_not_trained_on() -> None:
    def digit(chance: random.Random) -> tuple[Sequence[int], int]:
        return array("H", [chance.randrange(2, 102)]), 0

    dataset = generated(small(name="digits", example=digit))
    held_out = {tuple(ids) for ids in (*dataset.validation.inputs, *dataset.test.inputs)}
    trained = {tuple(ids) for ids in dataset.train.inputs}
    assert trained
    assert not trained & held_out


def test_progress_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "SECONDS", 0.0)
    generated(small())
    assert "listops-short: 100 of 200 train examples made" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot write the generated examples to"):
        generated(small())


def test_a_cache_that_was_changed_or_cut_off(own_cache: Path) -> None:
    generated(small())
    (file,) = own_cache.iterdir()
    whole = file.read_bytes()
    with np.load(file) as content:
        arrays = dict(content)
    arrays["test labels"] = arrays["test labels"][::-1]
    np.savez(file, **arrays)
    with pytest.raises(DataError, match=r"\.npz was changed, delete it to make it again"):
        generated(small())
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"\.npz is damaged, delete it to make it again: "):
        generated(small())


def test_the_sets_have_the_published_counts() -> None:
    assert TASKS["listops"].counts == (96_000, 2_000, 2_000)
    assert (OFFICIAL.shorter, OFFICIAL.longer, OFFICIAL.depth, OFFICIAL.arguments) == (
        500,
        2000,
        10,
        10,
    )
