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

from examples.generators.listops import root_operator_floor
from examples.training.classification import Classification, describe
from examples.training.classifier import ClassifyOptions, prepare, settled
from examples.training.loop import run, start
from examples.training.matching import FNetForMatching, Matching, encode_towers
from examples.training.options import flag, number, parse, positive

PROGRAM = "lra"
LISTOPS = ("listops", "listops-short")
DATA = "name of a data set (python -m examples.data lists them), or a folder"
SEQ = "most tokens of an example, or of each text of a pair; the rest is cut off"


@dataclass(frozen=True, kw_only=True)
class ListOps(ClassifyOptions):
    """The flags of all tasks, with the defaults of ListOps."""

    data: str = flag("listops", DATA)
    units: str = flag("bytes", "what a token of a text is", choices=("bytes", "words", "unigram"))
    seq: int = flag(2000, SEQ, read=positive)
    pooling: str = flag("mean", "what the classifier reads", choices=("cls", "mean"))
    heads: int | None = flag(2, "heads of attention", read=positive)
    steps: int | None = flag(5000, "train for this many steps", read=positive)
    epochs: int | None = flag(
        None, "pass this often over the data, in place of --steps", read=positive
    )
    lr: float = flag(1e-4, "highest learning rate", read=number)


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
    if task in ("-h", "--help"):
        print(f"{__doc__}\nThe flags of a task: python -m examples.lra TASK --help")
        raise SystemExit(0)
    if task not in TASKS:
        raise SystemExit(f"the first word must be a task, {', '.join(TASKS)}; got {task!r}")
    parsed, given = parse(TASKS[task], (__doc__ or "").splitlines()[0], flags)
    options = settled(parsed, given)
    if given & {"minutes", "epochs"}:
        options = replace(options, steps=None)
    program = f"{PROGRAM} {task}"
    with start(program, options) as device:
        if task == "retrieval":
            kind: type[Classification] = Matching
            ready = prepare(options, FNetForMatching, encode_towers)
        else:
            kind, ready = Classification, prepare(options)
        dataset, model = ready.dataset, ready.model.to(device)
        trained = kind(model.config, options, ready.splits, dataset.metrics, device)
        about = describe(dataset)
        if options.data in LISTOPS:
            about["floors"]["root_operator"] = root_operator_floor(dataset.train, dataset.test)
        return run(program, options, trained, model, about, ready.encoder)


if __name__ == "__main__":
    main()
