"""Train on a task of the kind of Long Range Arena, and measure it on the test examples.

    python -m examples.lra listops --mixer fourier
    python -m examples.lra listops --data listops-short --seq 128 --lr 1e-3 --minutes 10
    python -m examples.lra text --data my_reviews
    python -m examples.lra image --data mnist-196 --seq 196
    python -m examples.lra pathfinder
    python -m examples.lra retrieval --data r8-pairs

The tasks have the kind and the length of those of Tay et al., Long Range Arena (2021). ListOps is
made by the same rules; the other data is not the published data, so only ListOps compares with
published accuracies. Defaults are the small setting that later papers use: 2 layers of 64 and 128,
2 heads, the mean over tokens, 5,000 steps of 32 examples.

docs/data.md describes the data, docs/training.md the flags, the log and how to resume.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from examples.corpora.dataset import Dataset, Split
from examples.corpora.errors import DataError
from examples.corpora.load import load
from examples.generators.listops import root_operator_floor
from examples.training import encode
from examples.training.classification import Classification, describe, labels_of
from examples.training.encode import Encoder
from examples.training.encoded import Encoded, encode_split
from examples.training.loop import run, start
from examples.training.matching import FNetForMatching, Matching
from examples.training.model import build, configuration
from examples.training.options import TextOptions, flag, parse, positive
from fnet_kernels.models import FNetForSequenceClassification
from fnet_kernels.models.model import FNetPreTrained

PROGRAM = "lra"
SPLITS = ("train", "validation", "test")
DATA = "name of a data set (python -m examples.data lists them), or a folder"
SEQ = "most tokens of an example, or of each text of a pair; the rest is cut off"


@dataclass(frozen=True, kw_only=True)
class ListOps(TextOptions):
    """The flags of all tasks, with the defaults of ListOps."""

    data: str = flag("listops", DATA)
    units: str = flag("bytes", "what a token of a text is", choices=("bytes", "words", "unigram"))
    seq: int = flag(2000, SEQ, read=positive)
    pooling: str = flag("mean", "what the classifier reads", choices=("cls", "mean"))
    heads: int | None = flag(2, "heads of attention", read=positive)
    steps: int | None = flag(5000, "train for this many steps", read=positive)
    lr: float = flag(1e-4, "highest learning rate", read=float)


@dataclass(frozen=True, kw_only=True)
class Text(ListOps):
    data: str = flag("mails", DATA)
    seq: int = flag(4096, SEQ, read=positive)


@dataclass(frozen=True, kw_only=True)
class Image(ListOps):
    data: str = flag("mnist", DATA)
    seq: int = flag(784, SEQ, read=positive)


@dataclass(frozen=True, kw_only=True)
class Pathfinder(ListOps):
    data: str = flag("pathfinder", DATA)
    seq: int = flag(1024, SEQ, read=positive)


@dataclass(frozen=True, kw_only=True)
class Retrieval(ListOps):
    data: str = flag("r8-pairs", DATA)
    seq: int = flag(1024, SEQ, read=positive)


TASKS = {
    "listops": ListOps,
    "text": Text,
    "image": Image,
    "pathfinder": Pathfinder,
    "retrieval": Retrieval,
}


def main(words: Sequence[str] | None = None) -> dict[str, float]:
    """Run the program; returns the metrics of the test examples."""
    task, *flags = (sys.argv[1:] if words is None else words) or [""]
    if task not in TASKS:
        raise SystemExit(f"the first word must be a task, {', '.join(TASKS)}; got {task!r}")
    options, given = parse(TASKS[task], (__doc__ or "").splitlines()[0], flags)
    if given & {"minutes", "epochs"}:
        options = replace(options, steps=None)
    with start(PROGRAM, options) as device:
        dataset = load(options.data, options.fold)
        encoder = _encoder(dataset, options)
        vocabulary = encoder.vocabulary if encoder is not None else dataset.vocabulary
        assert vocabulary is not None
        config = configuration(options, vocabulary, labels_of(dataset))
        model: FNetPreTrained
        if task == "retrieval":
            firsts, seconds = _towers(dataset, encoder, options)
            model = build(FNetForMatching, config)
            trained: Classification = Matching(
                config, options, firsts, seconds, dataset.metrics, device
            )
        else:
            firsts = {
                name: encode_split(getattr(dataset, name), encoder, options.seq, options.pooling)
                for name in SPLITS
            }
            model = build(FNetForSequenceClassification, config)
            trained = Classification(config, options, firsts, dataset.metrics, device)
        about = {"task": task, **describe(dataset)}
        if dataset.name.startswith("listops"):
            about["floors"]["root_operator"] = root_operator_floor(dataset.train, dataset.test)
        return run(PROGRAM, options, trained, model.to(device), about, encoder)


def _encoder(dataset: Dataset, options: ListOps) -> Encoder | None:
    if dataset.vocabulary is not None:
        return None
    texts = [*dataset.train.inputs, *(dataset.train.pairs or ())]
    return encode.learn(options.units, texts, options.vocabulary)


def _towers(
    dataset: Dataset, encoder: Encoder | None, options: ListOps
) -> tuple[dict[str, Encoded], dict[str, Encoded]]:
    """First and second texts of all splits."""
    found: tuple[dict[str, Encoded], dict[str, Encoded]] = ({}, {})
    for name in SPLITS:
        split: Split = getattr(dataset, name)
        if split.pairs is None:
            raise DataError(f"retrieval needs pairs of texts; {dataset.name} has single ones")
        for part, texts in zip(found, (split.inputs, split.pairs), strict=True):
            one = Split(texts, split.labels)
            part[name] = encode_split(one, encoder, options.seq, options.pooling)
    return found


if __name__ == "__main__":
    main()
