"""Every study of the table is a command that its program takes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from examples.classify import ClassifyOptions
from examples.corpora.load import SETS
from examples.report.paper import HEADINGS, reported
from examples.studies.study import Study
from examples.studies.table import MIXERS, STUDIES
from examples.training.model import configuration
from examples.training.options import Options, parse
from examples.training.pretraining import PretrainOptions
from fnet_kernels.mixers import create_mixer

KINDS: dict[str, type[Any]] = {"classify": ClassifyOptions, "pretrain": PretrainOptions}
#: The studies whose program has its options in KINDS.
READ = [study for study in STUDIES.values() if study.program in KINDS]


def options(study: Study, index: int = 0) -> Options:
    """The options of a run, as its program reads them."""
    _, _, *words = study.cells()[index].arguments()
    found, _ = parse(KINDS[study.program], "", words)
    return found


@pytest.mark.parametrize("study", READ, ids=lambda study: study.name)
def test_the_programs_take_the_commands(study: Study) -> None:
    assert importlib.util.find_spec(f"examples.{study.program}") is not None
    for index, cell in enumerate(study.cells()):
        found = options(study, index)
        assert found.seed == cell.seed
        assert found.pooling == "mean", "only then does `none` see a bag of tokens"
        assert [found.steps, found.minutes, found.epochs].count(None) == 2
        config = configuration(found, vocabulary=100, labels=2)
        for mixer in set(config.layer_mixers()):
            gain = "paper" if mixer == "attention" else config.gain
            made = create_mixer(mixer, config.hidden_size, found.seq, gain=gain)
            made(torch.zeros(1, found.seq, config.hidden_size))


@pytest.mark.parametrize("study", READ, ids=lambda study: study.name)
def test_the_variants_of_a_study_differ_in_the_mixer_alone(study: Study) -> None:
    assert len({variant.name for variant in study.variants}) == len(study.variants)
    own = ("mixer", "gain", "attention_layers", "padding", "layout")
    seen = []
    for index in range(len(study.variants)):
        found = vars(options(study, index))
        seen.append({key: value for key, value in found.items() if key not in own})
    assert all(one == seen[0] for one in seen)
    gains = {
        options(study, i).gain
        for i, variant in enumerate(study.variants)
        if variant.name not in ("attention", "fourier-paper")
    }
    assert gains == {1.0}


@pytest.mark.parametrize("study", READ, ids=lambda study: study.name)
def test_the_data_exist_and_the_floors_are_named(study: Study) -> None:
    if study.program != "lra":
        assert vars(options(study))["data"] in SETS
    assert study.floors
    assert not study.reported or reported(study.reported, "fourier")
    assert study.reported in ("", *HEADINGS)


def test_the_hybrid_has_attention_at_the_top() -> None:
    layers: Callable[[Study, int], list[str]] = lambda study, i: configuration(  # noqa: E731
        options(study, i), vocabulary=100, labels=2
    ).layer_mixers()
    hybrid = list(MIXERS).index("hybrid")
    assert layers(STUDIES["r8"], hybrid) == ["fourier", "attention"]
    four = STUDIES["20newsgroups"]
    assert layers(four, hybrid) == ["fourier"] * 2 + ["attention"] * 2
