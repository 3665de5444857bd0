"""`python -m examples.studies.linear`: a linear model of words, a floor for models that read texts.

It is a support vector machine on tf-idf weights: it knows which words a text has, and not their
order. It reads whole texts, learns from the training split, and answers the test split once.

    python -m examples.studies.linear          # every set of single texts that a study reads
    python -m examples.studies.linear --keep   # into examples/results, for examples.report
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from bench.folders import is_writable
from examples.corpora.dataset import Dataset
from examples.corpora.load import load
from examples.data import splits
from examples.studies.collect import write
from examples.studies.conditions import machine, moment
from examples.studies.folders import add_folders, result_folder

#: The name of the result, and of the command.
NAME, COMMAND = "linear", "python -m examples.studies.linear"
#: Sets of single texts that the studies read. Two texts need more than the words of both.
SETS = ("r8", "20newsgroups", "licences", "mails")


def accuracy(dataset: Dataset) -> float:
    """The accuracy on the test split of a set of single texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LinearSVC(random_state=0))
    model.fit(dataset.train.inputs, dataset.train.labels)
    return float(model.score(dataset.test.inputs, dataset.test.labels))


def measured(dataset: Dataset) -> dict[str, Any]:
    """The accuracy, the time and what was read."""
    start = time.perf_counter()
    found = accuracy(dataset)
    counts = {name: len(split.labels) for name, split in splits(dataset).items()}
    return {
        "data": {"name": dataset.name, "sha256": dataset.sha256, **counts},
        "accuracy": found,
        "seconds": time.perf_counter() - start,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 2 if the folder cannot be written, or scikit-learn is missing."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("data", nargs="*", default=list(SETS), help="names of sets, or folders")
    add_folders(parser)
    args = parser.parse_args(argv)
    try:
        version = metadata.version("scikit-learn")
    except metadata.PackageNotFoundError:
        print(f"{COMMAND}: error: needs scikit-learn: pip install scikit-learn", file=sys.stderr)
        return 2
    if not is_writable(args.out, COMMAND):
        return 2
    found = []
    for name in args.data:
        found.append(measured(load(name)))
        print(f"{name}: accuracy {found[-1]['accuracy']:.4f}, {found[-1]['seconds']:.1f} s")
    path = result_folder(args) / f"{NAME}.json"
    about = {"command": COMMAND, **machine(1), **moment(), "scikit-learn": version}
    write({**about, "sets": found}, path)
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
