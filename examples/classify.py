"""Train a classifier of texts, or of pairs of texts, and measure it on the test examples.

    python -m examples.classify --data r8 --units words --minutes 2
    python -m examples.classify --data my_texts --units bytes --seq 1024 --padding exact
    python -m examples.classify --data r8-pairs --from runs/pretrained --epochs 3
    torchrun --nproc-per-node 2 -m examples.classify --data r8

docs/training.md explains the flags, the log and how to resume.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.corpora.dataset import Dataset
from examples.corpora.load import load
from examples.training import encode
from examples.training.classification import Classification, describe, labels_of
from examples.training.encode import Encoder
from examples.training.encoded import encode_split
from examples.training.loop import run, start
from examples.training.model import POOLING, adopt, build, configuration
from examples.training.options import TextOptions, flag, parse
from fnet_kernels.models import FNetConfig, FNetForSequenceClassification

PROGRAM = "classify"
CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(TextOptions):
    from_: str | None = flag(None, "folder that examples.pretrain wrote, to start from")


def main(words: Sequence[str] | None = None) -> dict[str, float]:
    """Run the program; returns the metrics of the test examples."""
    options, given = parse(ClassifyOptions, (__doc__ or "").splitlines()[0], words)
    pretrained = None if options.from_ is None else _folder(options.from_)
    if pretrained is not None:
        config = FNetConfig.from_json((pretrained / CONFIG).read_text())
        options = adopt(options, given, config)
    with start(PROGRAM, options) as device:
        dataset = load(options.data, options.fold)
        encoder = _encoder(dataset, options, pretrained)
        names = ("train", "validation", "test")
        parts = {name: getattr(dataset, name) for name in names}
        splits = {
            name: encode_split(split, encoder, options.seq, options.pooling)
            for name, split in parts.items()
        }
        if pretrained is None:
            vocabulary = dataset.vocabulary if encoder is None else encoder.vocabulary
            assert vocabulary is not None
            config = configuration(options, vocabulary, labels_of(dataset))
            model = build(FNetForSequenceClassification, config)
        else:
            model = _load(pretrained, options, labels_of(dataset))
        task = Classification(model.config, options, splits, dataset.metrics, device)
        return run(PROGRAM, options, task, model.to(device), describe(dataset), encoder)


def _encoder(dataset: Dataset, options: ClassifyOptions, pretrained: Path | None) -> Encoder | None:
    """What makes ids of the texts: that of the pre-training, or a new one; None for ids."""
    if dataset.vocabulary is not None:
        return None
    if pretrained is not None:
        return encode.read(pretrained)
    texts = [*dataset.train.inputs, *(dataset.train.pairs or ())]
    return encode.learn(options.units, texts, options.vocabulary)


def _folder(name: str) -> Path:
    """The folder of the model that a pre-training left."""
    for folder in (Path(name) / "model", Path(name)):
        if (folder / CONFIG).exists() and (folder / encode.FILE).exists():
            return folder
    raise SystemExit(
        f"--from {name}: no {CONFIG} with an {encode.FILE}, which a finished examples.pretrain"
        " writes"
    )


def _load(folder: Path, options: ClassifyOptions, labels: int) -> FNetForSequenceClassification:
    with warnings.catch_warnings():  # of the new classifier and the heads that are not used
        warnings.simplefilter("ignore")
        return FNetForSequenceClassification.from_pretrained(
            folder,
            num_labels=labels,
            pooling=POOLING[options.pooling],
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
        )


if __name__ == "__main__":
    main()
