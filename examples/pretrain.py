"""Pre-train on texts: masked language modelling and next sentence prediction.

    python -m examples.pretrain --data brown --units unigram --minutes 30 --out runs/pretrained
    python -m examples.classify --data r8 --from runs/pretrained

docs/training.md explains the flags, the log and how to resume.
"""

from __future__ import annotations

from collections.abc import Sequence

from examples.corpora.dataset import Split
from examples.corpora.load import load
from examples.training.encode import Text
from examples.training.loop import run, start
from examples.training.model import build, configuration
from examples.training.options import parse
from examples.training.pieces import cut
from examples.training.pretraining import Pretraining, PretrainOptions, floors, unknown_share
from examples.training.vocabulary import encoder_of
from fnet_kernels.models import FNetForPreTraining

PROGRAM = "pretrain"


def main(words: Sequence[str] | None = None) -> dict[str, float]:
    """Run the program; returns the metrics of the test documents."""
    options, _ = parse(PretrainOptions, (__doc__ or "").splitlines()[0], words)
    with start(PROGRAM, options) as device:
        dataset = load(options.data, options.fold)
        if dataset.vocabulary is not None:
            raise SystemExit(f"--data must be a data set of texts, {dataset.name} has ids")
        names = ("train", "validation", "test")
        texts = {name: _documents(getattr(dataset, name)) for name in names}
        encoder = encoder_of(options, dataset.sha256, texts["train"])
        splits = {name: cut(inputs, encoder, options.seq) for name, inputs in texts.items()}
        config = configuration(options, encoder.vocabulary, labels=2)
        model = build(FNetForPreTraining, config).to(device)
        task = Pretraining(config, options, splits, device)
        judged = splits["test" if texts["test"] else "validation"]
        about = {
            "data": {
                "name": dataset.name,
                "sha256": dataset.sha256,
                "source": dataset.source,
                **{name: len(inputs) for name, inputs in texts.items()},
                "tokens": len(splits["train"].ids),
                "unknown": unknown_share(splits["train"]),
            },
            "floors": floors(splits["train"], judged),
        }
        return run(PROGRAM, options, task, model, about, encoder)


def _documents(split: Split) -> list[Text]:
    """The texts of a split; of pairs both, each text once."""
    if split.pairs is None:
        return [*split.inputs]
    return [*dict.fromkeys([*split.inputs, *split.pairs])]


if __name__ == "__main__":
    main()
