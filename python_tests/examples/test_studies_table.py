"""Every study of the table is a command that its program takes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from examples import lra
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


def options(study: Study, index: int = 0) -> Options:
    """The options of a run, as its program reads them."""
    _, _, *words = study.cells()[index].arguments()
    kind = lra.TASKS[words.pop(0)] if study.program == "lra" else KINDS[study.program]
    return parse(kind, "", words)[0]


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_the_programs_take_the_commands(study: Study) -> None:
    assert importlib.util.find_spec(f"examples.{study.program}") is not None
    for index, cell in enumerate(study.cells()):
        found = options(study, index)
        assert found.seed == cell.seed
        assert found.pooling == "mean", "only then does `none` see a bag of tokens"
        assert sum(word in ("--steps", "--minutes", "--epochs") for word in cell.arguments()) == 1
        assert configuration(found, vocabulary=100, labels=2).pooling == "mean"


def test_the_mixers_take_the_lengths() -> None:
    """Some mixers refuse a length when they are made, others when they are called."""
    seen = set()
    for study in STUDIES.values():
        for index in range(len(study.variants)):
            config = configuration(options(study, index), vocabulary=100, labels=2)
            sizes = (config.max_position_embeddings, config.hidden_size)
            seen |= {(mixer, *sizes) for mixer in config.layer_mixers()}
    for mixer, seq, hidden in sorted(seen):
        if mixer != "attention":
            create_mixer(mixer, hidden, seq, gain=1.0)(torch.zeros(1, seq, hidden))
    assert ("hadamard", 128, 64) in seen
    with pytest.raises(ValueError, match="196"):
        create_mixer("hadamard", 64)(torch.zeros(1, 196, 64))


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_the_variants_of_a_study_differ_in_the_mixer_alone(study: Study) -> None:
    assert len({variant.name for variant in study.variants}) == len(study.variants)
    own = ("mixer", "gain", "attention_layers", "attention_dropout", "padding", "layout")
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


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_the_data_exist_and_the_floors_are_named(study: Study) -> None:
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
