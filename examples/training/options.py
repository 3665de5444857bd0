"""The flags of the training programs: dataclasses, from which argparse is made.

defines: Options, TextOptions, flag, number, parse, positive, share

A field is a flag: its name, type and default are those of the field, and its metadata holds the
help. A program adds flags in a subclass, or gives a field another default.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from importlib import import_module
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fnet_kernels.mixers import list_mixers

_Options = TypeVar("_Options", bound="Options")
_MOST = 2**31 - 1


def flag(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    read: Callable[[str], Any] | None = None,
) -> Any:
    """A field that is a flag; `...` as default makes it required.

    Args:
        default: value without the flag.
        help: the text of `--help`.
        choices: the values that the flag takes.
        read: makes the value of a word, in place of the type of the field. Its ArgumentTypeError
            is the message to the user.
    """
    metadata = {"help": help, "choices": choices, "read": read}
    return field(default=MISSING if default is ... else default, metadata=metadata)


def positive(word: str) -> int:
    """An integer of at least 1."""
    return _integer(word, 1)


def _count(word: str) -> int:
    return _integer(word, 0)


def _integer(word: str, least: int) -> int:
    if not word.isdecimal() or not least <= int(word) <= _MOST:
        raise argparse.ArgumentTypeError(
            f"must be an integer from {least} to {_MOST}, got {word!r}"
        )
    return int(word)


def number(word: str) -> float:
    """A finite number that is not negative."""
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {word!r}")
    return value


def share(word: str) -> float:
    """A number from 0 to 1."""
    if (value := number(word)) > 1.0:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {word!r}")
    return value


def _mixer(word: str) -> str:
    """The name of a mixer; `module:name` first imports the module that registers it."""
    module, _, name = word.rpartition(":")
    try:
        if module:
            import_module(module)
    except ImportError as error:
        raise argparse.ArgumentTypeError(f"cannot import {module}: {error}") from None
    if name not in list_mixers():
        known = ", ".join(list_mixers())
        raise argparse.ArgumentTypeError(f"must be one of {known}, or module:name; got {word!r}")
    return name


def _json_object(word: str) -> dict[str, Any]:
    try:
        value = json.loads(word)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"must be a JSON object, got {word!r}")
    return value


def _gain(word: str) -> str | float:
    try:
        return word if word == "paper" else float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be 'paper' or a number, got {word!r}") from None


@dataclass(frozen=True, kw_only=True)
class Options:
    """The flags of every training program."""

    mixer: str = flag(
        "fourier", "mixer of the layers without attention; an own one as module:name", read=_mixer
    )
    mixer_args: Mapping[str, Any] | None = flag(
        None, "further arguments of the mixer, as a JSON object", read=_json_object
    )
    attention_layers: int = flag(0, "layers with attention in place of the mixer", read=_count)
    layout: str = flag(
        "top", "which layers have attention", choices=("bottom", "middle", "mixed", "top")
    )
    layers: int = flag(2, "encoder layers", read=_count)
    hidden: int = flag(64, "hidden size", read=positive)
    intermediate: int = flag(128, "width of the feed-forward networks", read=positive)
    heads: int | None = flag(None, "heads of attention; by default hidden / 64", read=positive)
    dropout: float = flag(0.1, "dropout probability", read=share)
    attention_dropout: float | None = flag(
        None, "dropout of the weights of attention; by default that of --dropout", read=share
    )
    seq: int = flag(128, "most tokens of an example; the rest is cut off", read=positive)
    pooling: str = flag("cls", "what the classifier reads", choices=("cls", "mean"))
    padding: str = flag("tokens", "how mixing treats padding", choices=("tokens", "zero", "exact"))
    round_to: int | None = flag(
        None, "with --padding exact, mix over the next multiple of it", read=positive
    )
    gain: str | float = flag("paper", "magnitude of the mixer: paper, or a number", read=_gain)

    batch: int = flag(32, "examples a step, in each process", read=positive)
    steps: int | None = flag(None, "train for this many steps", read=positive)
    minutes: float | None = flag(None, "train for this time, evaluation not counted", read=number)
    epochs: int | None = flag(None, "pass this often over the data; 10 by default", read=positive)
    lr: float = flag(1e-3, "highest learning rate", read=number)
    warmup: float = flag(0.1, "share of the training in which the rate rises", read=share)
    weight_decay: float = flag(0.01, "weight decay of the matrices", read=number)
    seed: int = flag(0, "seed of the weights, of the order and of dropout", read=_count)
    dtype: str = flag("fp32", "bf16 runs under autocast", choices=("fp32", "bf16"))
    compile: bool = flag(False, "torch.compile the model")
    device: str | None = flag(None, "device; by default a GPU, if there is one")
    threads: int | None = flag(None, "CPU threads", read=positive)

    out: str = flag("runs/latest", "folder of the log, the state and the model")
    resume: bool = flag(False, "go on with the run in --out, or start it")
    log_every: int = flag(10, "steps from one line of the log to the next", read=positive)
    evaluate_every: int | None = flag(
        None, "steps from one validation to the next; by default those of an epoch", read=positive
    )
    save_every: int = flag(100, "steps from one saved state to the next", read=positive)


@dataclass(frozen=True, kw_only=True)
class TextOptions(Options):
    """The flags of programs that read text."""

    data: str = flag(..., "name of a data set (python -m examples.data lists them), or a folder")
    fold: int = flag(0, "which fifth of the data is the test split, in sets in folds", read=_count)
    units: str = flag("words", "what a token is", choices=("bytes", "words", "unigram"))
    vocabulary: int = flag(8192, "most words, or pieces of words", read=positive)


def parse(
    kind: type[_Options], description: str, words: Sequence[str] | None = None
) -> tuple[_Options, frozenset[str]]:
    """Read the command line.

    Args:
        kind: the dataclass of the program's flags.
        description: first paragraph of `--help`.
        words: the command line without the program; that of the process by default.

    Returns:
        The options, and the names of the fields that the command line gives.
    """
    parser = argparse.ArgumentParser(
        description=description, argument_default=argparse.SUPPRESS, allow_abbrev=False
    )
    hints = get_type_hints(kind)
    for one in fields(kind):
        parser.add_argument(name_of(one.name), dest=one.name, **_argument(one, hints[one.name]))
    given = vars(parser.parse_args(words))
    if len(budgets := [name for name in ("steps", "minutes", "epochs") if name in given]) > 1:
        parser.error(
            f"give one of --steps, --minutes and --epochs, not --{' and --'.join(budgets)}"
        )
    return kind(**given), frozenset(given)


def name_of(field_name: str) -> str:
    """The flag of a field: `from_` is --from, as `from` is a word of Python."""
    return "--" + field_name.rstrip("_").replace("_", "-")


def _argument(one: Any, hint: Any) -> dict[str, Any]:
    """What `add_argument` needs to know of a field."""
    meta = one.metadata
    if hint is bool:
        return {"action": "store_true", "help": meta["help"]}
    plain = next((t for t in get_args(hint) if t is not type(None)), hint)
    required = one.default is MISSING
    shown = "" if required or one.default is None else f" ({one.default})"
    about = {"help": meta["help"].replace("%", "%%") + shown, "required": required}
    if meta["choices"]:
        return {**about, "choices": meta["choices"]}
    metavar = "JSON" if get_origin(plain) is Mapping else {int: "N", float: "X"}.get(plain, "NAME")
    return {**about, "type": meta["read"] or plain, "metavar": metavar}


def command() -> list[str]:
    """The command of this process, with the module's name for `python -m`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.name] if spec is not None else [sys.argv[0]]
    return ["python", *program, *sys.argv[1:]]
