"""Make the splits of a generated task once, and keep them in the cache."""

from __future__ import annotations

import hashlib
import inspect
import random
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.corpora.dataset import Dataset, Split
from examples.corpora.documents import digest
from examples.corpora.errors import DataError
from examples.corpora.fetch import cache_folder

Numbers = NDArray[np.integer]
Example = tuple[Sequence[int], int]  # ids and label
SPLITS = ("train", "validation", "test")
_HASH = "sha256"  # of the splits, in the file
SECONDS = 5.0  # from one line of progress to the next


@dataclass(frozen=True)
class Task:
    """A generated data set.

    `label` says in words what the label is, and `origin` by which rules `example` makes an example
    from random numbers. `counts` are the sizes of the training, validation and test split.
    """

    name: str
    label: str
    example: Callable[[random.Random], Example]
    origin: str
    classes: tuple[str, ...]
    vocabulary: int
    counts: tuple[int, int, int]

    def at(self, split: str, index: int) -> Example:
        """Example `index` of a split, which depends on nothing else."""
        return self.example(random.Random(f"{self.name} {split} {index}"))


def generated(task: Task) -> Dataset:
    """The task's splits, of which the training split has no example of the others.

    Raises:
        DataError: The cache cannot be written, or its file is damaged.
    """
    file = cache_folder() / f"{task.name}-{_key(task)}.npz"
    if not file.exists():
        _write(file, _made(task))
    try:
        with np.load(file) as content:
            splits, expected = _splits(content), str(content[_HASH])
    except Exception as error:  # numpy raises what zipfile, zlib and its own parser do
        raise DataError(f"{file} is damaged, delete it to make it again: {error}") from None
    if (found := digest(splits)) != expected:
        raise DataError(f"{file} was changed, delete it to make it again")
    train, validation, test = splits
    return Dataset(
        name=task.name,
        classes=task.classes,
        train=train,
        validation=validation,
        test=test,
        sha256=found,
        source=f"generated {task.origin}",
        vocabulary=task.vocabulary,
    )


def _key(task: Task) -> str:
    """A name of the content: the sizes, and the text of the generator's module."""
    function = getattr(task.example, "func", task.example)  # of a partial
    module = inspect.getsource(sys.modules[function.__module__])
    text = f"{task.name} {task.counts} {_HASH} {module}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _made(task: Task) -> dict[str, list[Example]]:
    counts = dict(zip(SPLITS, task.counts, strict=True))
    start = said = time.monotonic()
    found: dict[str, list[Example]] = {}
    known: set[bytes] = set()
    for split in ("test", "validation", "train"):
        found[split] = []
        for index in range(counts[split]):
            ids, label = task.at(split, index)
            content = array("H", ids).tobytes()
            if split == "train" and content in known:
                continue
            if split != "train":
                known.add(content)
            found[split].append((ids, label))
            if (now := time.monotonic()) > said + SECONDS:
                said = now
                line = f"{task.name}: {index:,} of {counts[split]:,} {split} examples made"
                print(f"{line}, {now - start:.0f} s", file=sys.stderr, flush=True)
    return found


def _names(split: str) -> Iterator[str]:
    return (f"{split} {part}" for part in ("ids", "lengths", "labels"))


def _write(file: Path, splits: dict[str, list[Example]]) -> None:
    """Write the arrays of all splits under a temporary name, then rename the file."""
    content: dict[str, Any] = {}
    for split, examples in splits.items():
        ids = np.concatenate([np.asarray(ids, np.uint16) for ids, _ in examples])
        lengths = [len(ids) for ids, _ in examples]
        labels = [label for _, label in examples]
        content |= dict(zip(_names(split), (ids, np.array(lengths), np.array(labels)), strict=True))
    content[_HASH] = digest(_splits(content))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as fresh:
            new = Path(fresh) / "new.npz"
            np.savez(new, **content)
            new.replace(file)
    except OSError as error:
        raise DataError(f"cannot write the generated examples to {file}: {error}") from None


def _splits(content: Mapping[str, Any]) -> list[Split]:
    return [_unpacked(*(content[name] for name in _names(split))) for split in SPLITS]


def _unpacked(ids: Numbers, lengths: Numbers, labels: Numbers) -> Split:
    offsets = accumulate(lengths.tolist(), initial=0)
    inputs = [array("H", ids[a:b].tobytes()) for a, b in pairwise(offsets)]
    return Split(inputs, labels.tolist())
