"""One door to all data: a set by its name, or a folder of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from examples.corpora.brown import brown
from examples.corpora.dataset import Dataset
from examples.corpora.errors import DataError
from examples.corpora.folder import folder
from examples.corpora.licences import licences
from examples.corpora.mails import mails
from examples.corpora.mnist import mnist
from examples.corpora.topics import topic_pairs, topics
from examples.corpora.tsv import tsv
from examples.corpora.wordnet import wordnet
from examples.generators.tasks import TASKS, generated_set

#: Sets with one fixed test split.
FIXED: dict[str, Callable[[], Dataset]] = {
    "r8": partial(topics, "r8"),
    "r8-pairs": partial(topic_pairs, "r8"),
    "r52": partial(topics, "r52"),
    "20newsgroups": partial(topics, "20newsgroups"),
    "20newsgroups-pairs": partial(topic_pairs, "20newsgroups"),
    "wordnet": wordnet,
    "mnist": partial(mnist, "mnist"),
    "mnist-196": partial(mnist, "mnist-196"),
    **{name: partial(generated_set, name) for name in TASKS},
}
#: Sets in five folds for cross-validation.
FOLDED: dict[str, Callable[[int], Dataset]] = {
    "licences": partial(licences, "licences"),
    "licences-long": partial(licences, "licences-long"),
    "mails": mails,
    "brown": partial(brown, "brown"),
    "brown-genres": partial(brown, "brown-genres"),
}
NAMES = (*FIXED, *FOLDED)


def load(data: str, fold: int = 0) -> Dataset:
    """The data set of a name, or of a folder.

    Args:
        data: One of `NAMES`, or the path of a folder with a folder for each class or with TSV
            files (see `folder.py` and `tsv.py`).
        fold: 0 to 4, which fifth of a set in folds is the test split.

    Raises:
        DataError: The set is unknown, cannot be fetched or has no folds, or the folder's content
            is not as described.

    An example, which fetches 38 MB once:

        reuters = load("r8")
        reuters.classes[reuters.train.labels[0]]  # "acq"
    """
    if data in FOLDED:
        return FOLDED[data](fold)
    if fold:
        raise DataError(f"fold must be 0 for {data}, which has no folds, got {fold}")
    if data in FIXED:
        return FIXED[data]()
    path = Path(data)
    if not path.is_dir():
        raise DataError(f"no data set and no folder {data!r}; the sets are {', '.join(NAMES)}")
    return tsv(path) if (path / "train.tsv").is_file() else folder(path)
