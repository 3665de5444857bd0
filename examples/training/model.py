"""The model of the flags.

defines: adopt, arguments, build, check_compiled, configuration, dropouts, padded_length,
    pooling_of, unregistered
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from examples.training.batches import Batch
from examples.training.encode import PADDING
from examples.training.options import Options, name_of
from fnet_kernels.mixers import list_mixers
from fnet_kernels.models import FNetConfig
from fnet_kernels.models.pretrained import FNetPreTrained

_Model = TypeVar("_Model", bound=FNetPreTrained)
_Options = TypeVar("_Options", bound=Options)
POOLING = {"cls": "first", "mean": "mean"}
#: Flags that a pre-trained model fixes, and their fields of FNetConfig.
_FIXED = {
    "mixer": "mixer",
    "mixer_args": "mixer_args",
    "attention_layers": "num_attention_layers",
    "layout": "attention_layout",
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "heads": "num_attention_heads",
    "padding": "padding",
    "round_to": "round_to",
    "gain": "gain",
}
#: Mixers that take sequences of one length; Hadamard matrices of few other orders exist.
_WHOLE = ("circulant", "filter", "hadamard")
#: Mixers that see no padding, given a mask.
_MASKED = ("attention", "none")


def configuration(options: Options, vocabulary: int, labels: int) -> FNetConfig:
    """The configuration of the flags; a value that the library refuses ends the program."""
    if options.mixer in _WHOLE and options.padding == "exact" and options.round_to != options.seq:
        raise SystemExit(
            f"--mixer {options.mixer} takes sequences of --seq tokens: with --padding exact give"
            f" --round-to {options.seq}"
        )
    fixed = {theirs: getattr(options, ours) for ours, theirs in _FIXED.items()}
    try:
        return FNetConfig(
            vocab_size=vocabulary,
            max_position_embeddings=options.seq,
            pad_token_id=PADDING,
            bos_token_id=None,
            eos_token_id=None,
            num_labels=labels,
            **dropouts(options),
            pooling=POOLING[options.pooling],
            initializer_range=_initial_std(options.hidden),
            **(fixed | {"mixer_args": options.mixer_args or {}}),
        )
    except (TypeError, ValueError) as error:
        raise SystemExit(str(error)) from None


def check_compiled(options: Options, config: FNetConfig) -> None:
    """End the program if a mixer needs the lengths as integers, which a graph does not have."""
    others = set(config.layer_mixers()) - {"attention", "fourier"}
    if options.compile and config.padding == "exact" and others:
        raise SystemExit(
            f"--compile with --padding exact is for fourier and attention, not for {min(others)}:"
            " leave --compile out"
        )


def dropouts(options: Options) -> dict[str, Any]:
    """The probabilities of dropout, as fields of FNetConfig."""
    of_attention = options.attention_dropout
    return {
        "hidden_dropout_prob": options.dropout,
        "attention_probs_dropout_prob": options.dropout if of_attention is None else of_attention,
    }


def _initial_std(hidden: int) -> float:
    """The standard deviation with which outputs begin as large as the authors' models have them.

    Theirs is 0.02 at hidden size 768. At 64 it makes the outputs of pooler and classifier begin
    near zero, and accuracy stays several points below that of a linear model of word counts.
    """
    return round(0.02 * math.sqrt(768 / hidden), 4)


def build(model: type[_Model], config: FNetConfig) -> _Model:
    """Make a model; sizes that the mixer refuses end the program."""
    try:
        return model(config)
    except (TypeError, ValueError) as error:
        raise SystemExit(str(error)) from None


def adopt(options: _Options, given: frozenset[str], config: FNetConfig) -> _Options:
    """Take the flags of the architecture from a pre-trained model.

    A flag that the command line gives and that differs ends the program.
    """
    values = {ours: getattr(config, theirs) for ours, theirs in _FIXED.items()}
    for name in given & values.keys():
        if getattr(options, name) != values[name]:
            raise SystemExit(
                f"{name_of(name)} must be {values[name]}, as in the pre-trained model, or left out;"
                f" got {getattr(options, name)}"
            )
    if "pooling" not in given:
        values["pooling"] = pooling_of(config)
    longest = config.max_position_embeddings
    if options.seq > longest and "seq" in given:
        raise SystemExit(f"--seq must be at most {longest}, as in the pre-trained model")
    if config.mixer in _WHOLE and options.seq != longest and "seq" in given:
        raise SystemExit(
            f"--seq must be {longest}, as in the pre-trained model, or left out: its"
            f" {config.mixer} mixer takes sequences of that length; got {options.seq}"
        )
    values["seq"] = options.seq if "seq" in given else longest
    assert values.keys() <= {one.name for one in fields(options)}
    return replace(options, **values)


def pooling_of(config: FNetConfig) -> str:
    """The value of --pooling that makes this configuration."""
    return next(ours for ours, theirs in POOLING.items() if theirs == config.pooling)


def padded_length(config: FNetConfig, seq: int) -> int | None:
    """The length to which batches are padded; None for the longest example of the batch.

    A transform that mixes padding depends on the padded length, so it needs one for all batches.
    With "exact" padding, and for attention with a mask, the length changes no result.
    """
    if config.padding == "exact" or set(config.layer_mixers()) <= set(_MASKED):
        return None
    return seq


def arguments(config: FNetConfig, batch: Batch, compiled: bool) -> dict[str, Any]:
    """What a call of the model takes beside `input_ids` and labels.

    Integers tell "exact" mixing the lengths without a copy from the GPU, but become part of a
    compiled graph, so that gets the mask.
    """
    if config.padding == "exact" and not compiled:
        return {"token_type_ids": batch.types, "lengths": batch.lengths}
    return {"token_type_ids": batch.types, "attention_mask": batch.mask}


def unregistered(folder: Path, flag: str) -> str:
    """What to do if nobody has registered the mixer of the model in `folder`; else nothing."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        values = None
    mixer = values.get("mixer") if isinstance(values, dict) else None
    if mixer is None or mixer in list_mixers():
        return ""
    return f"; {flag} imports the module that registers {mixer!r}"
