from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fnet_kernels.models import (
    FNetConfig,
    FNetForSequenceClassification,
    FNetForTokenClassification,
    FNetModel,
)


def test_the_fields_of_transformers_have_its_defaults() -> None:
    transformers = pytest.importorskip("transformers")
    theirs, ours = transformers.FNetConfig().to_dict(), FNetConfig().to_dict()
    shared = [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "intermediate_size",
        "hidden_act",
        "hidden_dropout_prob",
        "max_position_embeddings",
        "type_vocab_size",
        "initializer_range",
        "layer_norm_eps",
        "use_tpu_fourier_optimizations",
        "tpu_short_seq_length",
        "pad_token_id",
        "bos_token_id",
        "eos_token_id",
        "tie_word_embeddings",
        "problem_type",
    ]
    assert set(shared) <= set(ours)
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def test_transformers_reads_our_file_and_we_write_its_keys_back() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.FNetConfig(
        num_labels=3, hidden_size=64, architectures=["FNetForMaskedLM"], unheard_of={"a": [1]}
    )
    ours = FNetConfig.from_json(theirs.to_json_string(use_diff=False))
    assert (ours.num_labels, ours.hidden_size) == (3, 64)
    assert ours.extra["unheard_of"] == {"a": [1]}
    written = json.loads(ours.to_json())
    for key, value in json.loads(theirs.to_json_string(use_diff=False)).items():
        assert written[key] == value, key
    back = transformers.FNetConfig.from_dict(written)
    assert (back.num_labels, back.hidden_size, back.unheard_of) == (3, 64, {"a": [1]})
    # Names of three labels are not those of five.
    five = FNetConfig.from_json(ours.to_json(), num_labels=5).to_dict()
    assert five["num_labels"] == 5
    assert not {"id2label", "label2id"} & set(five)
    assert transformers.FNetConfig.from_dict(five).num_labels == 5


def test_to_and_from_a_dictionary_copy_what_can_change() -> None:
    config = FNetConfig.mini()
    config.mixer_args["a"] = [1]
    config.extra["b"] = [2]
    values = config.to_dict()
    copied = FNetConfig.from_dict(values)
    assert copied == config
    values["mixer_args"]["a"].append(3)
    values["b"].append(3)
    assert (copied.mixer_args, copied.extra) == ({"a": [1]}, {"b": [2]})
    assert config == copied


def test_sizes() -> None:
    base, large, mini = FNetConfig.base(), FNetConfig.large(vocab_size=10), FNetConfig.mini()
    assert base == FNetConfig()
    assert (large.num_hidden_layers, large.hidden_size, large.intermediate_size) == (24, 1024, 4096)
    assert large.vocab_size == 10
    assert (mini.num_hidden_layers, mini.hidden_size, mini.intermediate_size) == (2, 64, 128)
    assert FNetConfig.mini(hidden_size=32).hidden_size == 32


@pytest.mark.parametrize(
    ("layout", "layers", "attention", "expected"),
    [  # f_net/models.py, _is_attention_layer, by hand
        ("bottom", 12, 2, {0, 1}),
        ("top", 12, 2, {10, 11}),
        ("middle", 12, 2, {5, 6}),
        ("middle", 12, 3, {5, 6, 7}),  # 9 <= 2 i < 15
        ("middle", 5, 2, {2, 3}),  # 3 <= 2 i < 7
        ("mixed", 12, 2, {0, 6}),
        ("mixed", 12, 5, {0, 2, 4, 6, 8, 10}),
        ("mixed", 12, 12, set(range(12))),
        ("mixed", 12, 0, set()),
        ("top", 12, 0, set()),
        ("middle", 12, 0, set()),
        ("bottom", 4, 4, {0, 1, 2, 3}),
    ],
)
def test_layouts(layout: str, layers: int, attention: int, expected: set[int]) -> None:
    config = FNetConfig(
        num_hidden_layers=layers, num_attention_layers=attention, attention_layout=layout
    )
    mixers = config.layer_mixers()
    assert len(mixers) == layers
    assert {i for i, name in enumerate(mixers) if name == "attention"} == expected
    assert set(mixers) <= {"attention", "fourier"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": "768"}, "FNetConfig: hidden_size must be an int, got str"),
        ({"num_labels": True}, "num_labels must be an int, got bool"),
        ({"hidden_dropout_prob": "0"}, "hidden_dropout_prob must be a Python number, got str"),
        ({"mixer": None}, "mixer must be a str, got None"),
        ({"gain": None}, "gain must be 'paper' or a number, got None"),
        ({"mixer_args": [1]}, "mixer_args must be a dict, got list"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings must be True or False, got"),
        ({"pad_token_id": 1.0}, "pad_token_id must be an int, got float"),
        ({"hidden_sise": 3}, "hidden_sise"),
    ],
)
def test_types_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        FNetConfig(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocab_size": 0}, "FNetConfig: vocab_size must be at least 1, got 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be at least 0, got -1"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob must be from 0 to 1, got 1.5"),
        ({"attention_probs_dropout_prob": -1}, "attention_probs_dropout_prob must be from 0 to 1"),
        ({"initializer_range": -0.1}, "initializer_range must be finite and not negative, got"),
        ({"initializer_range": 10**400}, "initializer_range must be finite and not negative, got"),
        (
            {"layer_norm_eps": -1.0},
            "FNetConfig: layer_norm_eps must be finite and not negative, got -1.0",
        ),
        ({"hidden_act": "swish"}, "hidden_act must be one of 'gelu_new', .*'relu'; got 'swish'"),
        ({"attention_layout": "TOP"}, "one of 'bottom', 'middle', 'mixed', 'top'; got 'TOP'"),
        ({"padding": "drop"}, "padding must be one of 'tokens', 'zero', 'exact'; got 'drop'"),
        ({"round_to": 8}, "round_to must be None with padding='tokens', .*got 8"),
        ({"round_to": 0, "padding": "exact"}, "round_to must be at least 1, got 0"),
        ({"pooling": "max"}, "pooling must be one of 'first', 'mean'; got 'max'"),
        ({"problem_type": "x"}, "problem_type must be one of None, 'regression', .*; got 'x'"),
        ({"mixer": "furrier"}, "mixer must be one of .*'fourier'.*; got 'furrier'"),
        ({"gain": "loud"}, "gain must be 'paper' or a number, got 'loud'"),
        ({"pad_token_id": 7, "vocab_size": 7}, "None or less than vocab_size=7, got 7"),
        ({"pad_token_id": -1}, "pad_token_id must be at least 0, got -1"),
        ({"num_attention_layers": 13}, "at most num_hidden_layers=12, got 13"),
        ({"num_attention_heads": 5}, "num_attention_heads must divide hidden_size=768, got 5"),
        (
            {"num_labels": 1, "problem_type": "single_label_classification"},
            "num_labels must be at least 2 with",
        ),
    ],
)
def test_values_are_checked(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FNetConfig(**values)
    with pytest.raises(ValueError, match=message):
        FNetConfig.from_dict(values)


def test_unknown_overrides_and_other_configurations_are_errors() -> None:
    with pytest.raises(TypeError, match="hidden_sise"):
        FNetConfig.from_dict({}, hidden_sise=3)
    with pytest.raises(ValueError, match="FNetConfig: extra must hold no fields, got 'gain'"):
        FNetConfig(extra={"gain": 1, "a": 2})
    with pytest.raises(TypeError, match="id2label must be a mapping, got int"):
        FNetConfig.from_dict({"id2label": 3})
    with pytest.raises(TypeError, match="values must be a mapping of fields, got list"):
        FNetConfig.from_json("[1]")
    with pytest.raises(TypeError, match=r"FNetModel: config must be a .*FNetConfig, got dict"):
        FNetModel({})
    for model in (FNetForSequenceClassification, FNetForTokenClassification):
        for config in (FNetConfig().to_dict(), None):
            with pytest.raises(TypeError, match=f"{model.__name__}: config must be a .*, got "):
                model(config, num_labels=3)


def test_integers_of_numpy_have_a_form_in_json() -> None:
    given = FNetConfig(pad_token_id=np.int64(3), num_attention_heads=np.int64(2))
    assert FNetConfig.from_json(given.to_json()) == given
