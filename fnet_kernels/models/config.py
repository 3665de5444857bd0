"""What an FNet model is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any

from fnet_kernels._ops.checks import (
    check_bool,
    check_eps,
    check_probability,
    check_size,
    check_std,
    kind,
)
from fnet_kernels._padding import MEANINGS, Padding
from fnet_kernels._sizes import LAYER_NORM_EPS, SIZES
from fnet_kernels.mixers.gain import Gain, checked_gain
from fnet_kernels.mixers.registry import checked_arguments, mixer_factory

#: transformers' names of activations, and those of `FNetEncoderLayer`.
HIDDEN_ACTS = {
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
}
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "hidden_act": tuple(HIDDEN_ACTS),
    "attention_layout": ("bottom", "middle", "mixed", "top"),
    "padding": MEANINGS,
    "pooling": ("first", "mean"),
    "problem_type": (
        None,
        "regression",
        "single_label_classification",
        "multi_label_classification",
    ),
}
_LEAST = {"num_hidden_layers": 0, "num_attention_layers": 0}
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "num_labels",
    "num_attention_layers",
)
_PROBABILITIES = ("hidden_dropout_prob", "attention_probs_dropout_prob")
_LABEL_MAPS = ("id2label", "label2id")


@dataclass
class FNetConfig:
    """The sizes and choices of an FNet model. The defaults are those of FNet-Base.

    The first fields have the names, meanings and defaults of transformers' `FNetConfig`. Those of
    this package start at `mixer`.

    Args:
        hidden_act: "gelu_new", "gelu_fast" and "gelu_pytorch_tanh" (one function: GELU's tanh
            approximation), "gelu" (exact) or "relu".
        initializer_range: standard deviation of the initial weights, see `FNetModel`.
        use_tpu_fourier_optimizations: ignored, as is `tpu_short_seq_length`: they choose how
            transformers computes the same transform.
        num_labels: classes of a classification head.
        problem_type: loss of sequence classification: "regression", "single_label_classification",
            "multi_label_classification"; None chooses by `num_labels` and the dtype of the labels.
        mixer: a name of `fnet_kernels.mixers.list_mixers()`, for all layers without attention.
        mixer_args: further arguments of the mixer.
        gain: magnitude of the mixer, see `create_mixer`.
        num_attention_layers: how many layers use attention in place of `mixer`.
        attention_layout: which ones, as in the authors' `f_net/models.py`: the "bottom" (first),
            "middle" or "top" (last) layers, or every `num_hidden_layers //
            num_attention_layers`-th from the first on ("mixed": more than asked for if that
            division leaves a remainder, 6 for 5 of 12).
        num_attention_heads: heads of attention; None for one per 64 channels, at least one, or
            fewer if that does not divide `hidden_size`.
        attention_probs_dropout_prob: dropout of the attention weights.
        padding: how mixing treats padding. "tokens": as further tokens, as in the paper; pad to the
            length that a checkpoint was trained with. "zero": as zeros, so that a result depends on
            the padded length, not on what pads. "exact": not at all; each sequence is mixed over
            its own length, and a result does not depend on the batch.
        round_to: with "exact", sequences are mixed over the next multiple of it, filled with zeros,
            for which the FFT may be faster; None for their own length.
        pooling: what the pooler reads: the "first" token, or the "mean" of all tokens, without
            those that `attention_mask` excludes.
        extra: further keys of a configuration file, which `to_dict` writes back; no fields.

    Raises:
        TypeError: a value has the wrong type, or a keyword is unknown.
        ValueError: a value is out of range or none of the choices.

    >>> from fnet_kernels.models import FNetConfig
    >>> config = FNetConfig.base(mixer="fourier", num_attention_layers=2)
    >>> config.layer_mixers()[-3:]
    ['fourier', 'attention', 'attention']
    >>> FNetConfig.from_json(config.to_json()) == config
    True
    """

    vocab_size: int = 32000
    hidden_size: int = 768
    num_hidden_layers: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 4
    initializer_range: float = 0.02
    layer_norm_eps: float = LAYER_NORM_EPS
    use_tpu_fourier_optimizations: bool = False
    tpu_short_seq_length: int = 512
    pad_token_id: int | None = 3
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True
    num_labels: int = 2
    problem_type: str | None = None
    mixer: str = "fourier"
    mixer_args: dict[str, Any] = field(default_factory=dict)
    gain: Gain = "paper"
    num_attention_layers: int = 0
    attention_layout: str = "top"
    num_attention_heads: int | None = None
    attention_probs_dropout_prob: float = 0.1
    padding: str = "tokens"
    round_to: int | None = None
    pooling: str = "first"
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = type(self).__name__
        for name in _SIZES:
            setattr(self, name, check_size(owner, name, getattr(self, name), _LEAST.get(name, 1)))
        for name in _PROBABILITIES:
            check_probability(owner, name, getattr(self, name))
        check_std(owner, self.initializer_range)
        check_eps(owner, self.layer_norm_eps, name="layer_norm_eps")
        check_bool(owner, "tie_word_embeddings", self.tie_word_embeddings)
        for name in _CHOICES:
            check_choice(owner, self, name)
        self.round_to = Padding(self.padding, self.round_to).checked(owner).round_to
        mixer_factory(owner, "mixer", self.mixer)
        checked_gain(owner, self.gain)
        self.mixer_args = checked_arguments(owner, self.mixer_args)
        if not isinstance(self.extra, Mapping):
            raise TypeError(f"{owner}: extra must be a dict, got {kind(self.extra)}")
        if own := [name for name in self.extra if name in _fields()]:
            raise ValueError(f"{owner}: extra must hold no fields, got {', '.join(map(repr, own))}")
        for name in ("gain", "initializer_range", "layer_norm_eps", *_PROBABILITIES):
            value = getattr(self, name)
            if not isinstance(value, (str, int, float)):  # NumPy's numbers have no form in JSON
                setattr(self, name, float(value))
        self._check_relations(owner)

    def _check_relations(self, owner: str) -> None:
        """Check the values that limit each other."""
        if self.pad_token_id is not None:
            self.pad_token_id = check_size(owner, "pad_token_id", self.pad_token_id, least=0)
            if self.pad_token_id >= self.vocab_size:
                raise ValueError(
                    f"{owner}: pad_token_id must be None or less than"
                    f" vocab_size={self.vocab_size}, got {self.pad_token_id}"
                )
        if self.num_attention_layers > self.num_hidden_layers:
            raise ValueError(
                f"{owner}: num_attention_layers must be at most"
                f" num_hidden_layers={self.num_hidden_layers}, got {self.num_attention_layers}"
            )
        if self.num_attention_heads is not None:
            heads = check_size(owner, "num_attention_heads", self.num_attention_heads)
            self.num_attention_heads = heads
            if self.hidden_size % heads:
                raise ValueError(
                    f"{owner}: num_attention_heads must divide hidden_size={self.hidden_size}, got"
                    f" {heads}"
                )
        if self.num_labels == 1 and self.problem_type == "single_label_classification":
            raise ValueError(
                f"{owner}: num_labels must be at least 2 with"
                " problem_type='single_label_classification', got 1"
            )

    @classmethod
    def base(cls, **overrides: Any) -> FNetConfig:
        """FNet-Base: 12 layers, hidden size 768, 82,861,056 parameters."""
        return cls(**{**SIZES["Base"], **overrides})

    @classmethod
    def large(cls, **overrides: Any) -> FNetConfig:
        """FNet-Large: 24 layers, hidden size 1024, 236,945,408 parameters."""
        return cls(**{**SIZES["Large"], **overrides})

    @classmethod
    def mini(cls, **overrides: Any) -> FNetConfig:
        """2 layers, hidden size 64, 2 heads: the usual small model of the Long Range Arena."""
        sizes = {
            "num_hidden_layers": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_attention_heads": 2,
        }
        return cls(**{**sizes, **overrides})

    def layer_mixers(self) -> list[str]:
        """The mixer of each layer, the first layer first."""
        layers, attention = self.num_hidden_layers, self.num_attention_layers
        chosen = {
            "bottom": range(attention),
            "middle": [
                i for i in range(layers) if layers - attention <= 2 * i < layers + attention
            ],
            "mixed": range(0, layers, layers // attention) if attention else (),
            "top": range(layers - attention, layers),
        }[self.attention_layout]
        return ["attention" if i in chosen else self.mixer for i in range(layers)]

    def to_dict(self) -> dict[str, Any]:
        """All fields, and the keys of `extra` beside them."""
        own = {name: deepcopy(getattr(self, name)) for name in _fields()}
        extra = deepcopy(dict(self.extra))
        if len(extra.get("id2label") or ()) != self.num_labels:  # of another head
            extra = {key: value for key, value in extra.items() if key not in _LABEL_MAPS}
        return {**extra, **own}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **overrides: Any) -> FNetConfig:
        """Make a configuration from the `to_dict` of this class or of transformers' `FNetConfig`.

        Unknown keys go to `extra`; unknown overrides are a TypeError.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"FNetConfig: values must be a mapping of fields, got {kind(values)}")
        own = {name: value for name, value in values.items() if name in _fields()}
        extra = {name: value for name, value in values.items() if name not in own}
        labels = extra.get("id2label")
        if labels is not None and not isinstance(labels, Mapping):
            raise TypeError(f"FNetConfig: id2label must be a mapping, got {kind(labels)}")
        if "num_labels" not in own and labels:
            own["num_labels"] = len(labels)
        return cls(**{**deepcopy(own), "extra": deepcopy(extra), **overrides})

    def to_json(self) -> str:
        """The fields as JSON, without the `model_type` that `save_pretrained` adds."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str, **overrides: Any) -> FNetConfig:
        """Make a configuration of the text of a `config.json`, see `from_dict`."""
        return cls.from_dict(json.loads(text), **overrides)


def _fields() -> list[str]:
    return [of_class.name for of_class in fields(FNetConfig) if of_class.name != "extra"]


def check_choice(owner: str, config: FNetConfig, name: str) -> str | None:
    """Return a field that has a few known values, after checking it."""
    choice: str | None = getattr(config, name)
    if choice not in _CHOICES[name]:
        known = ", ".join(map(repr, _CHOICES[name]))
        raise ValueError(f"{owner}: {name} must be one of {known}; got {choice!r}")
    return choice


def check_config(owner: str, config: object) -> None:
    """Check that `config` is an `FNetConfig` of this package."""
    if not isinstance(config, FNetConfig):
        raise TypeError(
            f"{owner}: config must be a fnet_kernels.models.FNetConfig, got {kind(config)}"
            " (FNetConfig.from_dict(config.to_dict()) converts transformers')"
        )
