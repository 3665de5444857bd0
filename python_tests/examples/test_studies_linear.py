"""The linear model of words, a floor of the studies."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from examples.corpora.load import SETS, load
from examples.studies import linear
from examples.studies.table import STUDIES


@pytest.fixture(scope="module", autouse=True)
def _needs_scikit_learn() -> None:
    pytest.importorskip("sklearn")


def test_it_learns_words_and_not_their_order(texts: Path) -> None:
    dataset = load(str(texts))
    assert linear.accuracy(dataset) > 0.9
    backwards = [" ".join(str(text).split()[::-1]) for text in dataset.test.inputs]
    same = replace(dataset, test=replace(dataset.test, inputs=backwards))
    assert linear.accuracy(same) == linear.accuracy(dataset)
    wrong = [1 - int(label) for label in dataset.test.labels]
    assert linear.accuracy(replace(dataset, test=replace(dataset.test, labels=wrong))) < 0.1


def test_the_result_names_the_data(texts: Path, tmp_path: Path) -> None:
    assert linear.main([str(texts), "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results" / "linear.json").read_text())
    (told,) = found["sets"]
    dataset = load(str(texts))
    assert told["data"]["sha256"] == dataset.sha256
    assert told["data"]["test"] == len(dataset.test.labels)
    assert told["accuracy"] == linear.accuracy(dataset)
    assert str(tmp_path) not in json.dumps(found)


def test_every_study_of_single_texts_has_it() -> None:
    programs = {name: study.options.split() for name, study in STUDIES.items()}
    read = {
        options[options.index("--data") + 1]
        for name, options in programs.items()
        if STUDIES[name].program == "classify"
    }
    of_texts = {name for name in read if not name.endswith("-pairs") and "mnist" not in name}
    assert of_texts == set(linear.SETS) <= set(SETS)
