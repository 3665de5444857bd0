"""What a classifier is trained with: data, encoder and model.

defines: ClassifyOptions, Prepared, prepare, settled
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from examples.corpora.dataset import Dataset
from examples.corpora.load import load
from examples.training import encode
from examples.training.classification import labels_of
from examples.training.encode import Encoder
from examples.training.encoded import Encoded, encode_split
from examples.training.model import POOLING, adopt, build, configuration, dropouts, unregistered
from examples.training.options import TextOptions, flag
from examples.training.vocabulary import encoder_of
from fnet_kernels.models import FNetConfig, FNetForSequenceClassification, FNetModel
from fnet_kernels.models.pretrained import FNetPreTrained

CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(TextOptions):
    from_: str | None = flag(None, "folder of a run, to start from all but its heads")


@dataclass(frozen=True)
class Prepared:
    """A classifier before training, and its data."""

    dataset: Dataset
    encoder: Encoder | None
    splits: dict[str, Encoded]
    model: FNetPreTrained


def settled(options: ClassifyOptions, given: frozenset[str]) -> ClassifyOptions:
    """The flags, with those of the architecture from the pre-trained model if there is one."""
    if options.from_ is None:
        return options
    folder = _folder(options.from_)
    try:
        config = FNetConfig.from_json((folder / CONFIG).read_text())
    except (TypeError, ValueError) as error:
        said = f"{error}{unregistered(folder, '--mixer MODULE:NAME')}"
        raise SystemExit(f"--from {options.from_}: {folder / CONFIG}: {said}") from None
    encoder = encode.read(folder)
    known: dict[str, Any] = {"units": encoder.units, "vocabulary": encoder.vocabulary}
    if "units" in given and options.units != encoder.units:
        raise SystemExit(
            f"--units must be {encoder.units}, as in the run of --from, or left out; got"
            f" {options.units}"
        )
    if "vocabulary" in given and options.vocabulary < encoder.vocabulary:  # it is an upper limit
        raise SystemExit(
            f"--vocabulary must be at least {encoder.vocabulary}, which the run of --from has, or"
            f" left out; got {options.vocabulary}"
        )
    return replace(adopt(options, given, config), **known)


def prepare(
    options: ClassifyOptions,
    kind: type[FNetPreTrained] = FNetForSequenceClassification,
    encoding: Callable[..., Encoded] = encode_split,
) -> Prepared:
    """Load and encode the data, and make the model, new or pre-trained.

    Args:
        options: the flags.
        kind: class of the model.
        encoding: encodes a split, with the arguments of `encode_split`.
    """
    dataset = load(options.data, options.fold)
    if len(dataset.classes) == 1:
        has = "one" if dataset.classes[0] else "none, as a text for examples.pretrain"
        raise SystemExit(f"--data must have texts of two classes or more; {options.data} has {has}")
    encoder = _encoder(dataset, options)
    splits = {
        name: encoding(getattr(dataset, name), encoder, options.seq, options.pooling)
        for name in ("train", "validation", "test")
    }
    vocabulary = dataset.vocabulary if encoder is None else encoder.vocabulary
    assert vocabulary is not None
    if options.from_ is None:
        config = configuration(options, vocabulary, labels_of(dataset))
        model = build(kind, config)
    else:
        model = _load(kind, _folder(options.from_), options, labels_of(dataset))
        if encoder is None:
            raise SystemExit(f"--from needs a data set of texts; {dataset.name} has ids")
        if encoder.vocabulary > model.config.vocab_size:
            raise SystemExit(
                f"--from {options.from_}: {encode.FILE} has {encoder.vocabulary} tokens, the model"
                f" {model.config.vocab_size}"
            )
    if dataset.classes:
        model.config.extra.update(
            id2label={str(index): name for index, name in enumerate(dataset.classes)},
            label2id={name: index for index, name in enumerate(dataset.classes)},
        )
    return Prepared(dataset, encoder, splits, model)


def _encoder(dataset: Dataset, options: ClassifyOptions) -> Encoder | None:
    """What makes ids of the texts: that of the pre-training, or a new one; None for ids."""
    if dataset.vocabulary is not None:
        return None
    if options.from_ is not None:
        return encode.read(_folder(options.from_))
    texts = dict.fromkeys([*dataset.train.inputs, *(dataset.train.pairs or ())])
    return encoder_of(options, dataset.sha256, texts)


def _folder(name: str) -> Path:
    """The folder of the model that a run left."""
    for folder in (Path(name) / "model", Path(name)):
        if (folder / CONFIG).exists() and (folder / encode.FILE).exists():
            return folder
    raise SystemExit(
        f"--from {name}: no {CONFIG} with an {encode.FILE}, which a finished run writes"
    )


def _load(
    kind: type[FNetPreTrained], folder: Path, options: ClassifyOptions, labels: int
) -> FNetPreTrained:
    """A model with the weights of a run, and with a new head: its task may have been another."""
    with warnings.catch_warnings():  # of the heads that are not used
        warnings.simplefilter("ignore")
        try:
            fnet = FNetModel.from_pretrained(
                folder,
                num_labels=labels,
                pooling=POOLING[options.pooling],
                **dropouts(options),
            )
        except (FileNotFoundError, ValueError) as error:
            raise SystemExit(f"--from {options.from_}: {error}") from None
    model = build(kind, fnet.config)
    model.fnet = fnet
    return model
