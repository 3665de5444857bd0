"""Train a classifier of texts, or of pairs of texts, and measure it on the test examples.

    python -m examples.classify --data r8 --units words --minutes 2
    python -m examples.classify --data my_texts --units bytes --seq 1024 --padding exact
    python -m examples.classify --data r8-pairs --from runs/pretrained --epochs 3
    torchrun --nproc-per-node 2 -m examples.classify --data r8

docs/training.md explains the flags, the log and how to resume.
"""

from __future__ import annotations

from collections.abc import Sequence

from examples.training.classification import Classification, describe
from examples.training.classifier import ClassifyOptions, prepare, settled
from examples.training.loop import run, start
from examples.training.options import parse

PROGRAM = "classify"


def main(words: Sequence[str] | None = None) -> dict[str, float]:
    """Run the program; returns the metrics of the test examples."""
    options = settled(*parse(ClassifyOptions, (__doc__ or "").splitlines()[0], words))
    with start(PROGRAM, options) as device:
        ready = prepare(options)
        model = ready.model.to(device)
        metrics = ready.dataset.metrics
        task = Classification(model.config, options, ready.splits, metrics, device)
        return run(PROGRAM, options, task, model, describe(ready.dataset), ready.encoder)


if __name__ == "__main__":
    main()
