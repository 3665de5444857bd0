"""The user's own texts: a folder with a folder of text files for each class.

reviews/good/1.txt, reviews/bad/7.txt        the splits are cut from all texts
reviews/train/good/1.txt, reviews/test/...   a test split of its own
"""

from __future__ import annotations

from pathlib import Path

from examples.corpora.dataset import Dataset
from examples.corpora.documents import Documents, class_names, distinct, text_dataset
from examples.corpora.errors import DataError
from examples.corpora.splits import cut


def folder(root: Path) -> Dataset:
    """Texts of all files in each class's folder and below, one of each text.

    A tenth of the training texts is the validation split, and another one the test split, unless
    the folder has `train` and `test`.

    Raises:
        DataError: Fewer than two classes, a class without a text, a file that is not UTF-8, or
            anything that cannot be read.
    """
    if (root / "train").is_dir() and (root / "test").is_dir():
        test = distinct(_documents(root / "test"))
        kept = distinct(_documents(root / "train"), seen=test)
        if other := set(class_names(test)) ^ set(class_names(kept)):
            raise DataError(f"{root} has the class {min(other)!r} in one of train and test only")
    else:
        kept, test = cut(distinct(_documents(root)), 0.1)
    train, validation = cut(kept, 0.1)
    if not validation:
        raise DataError(f"{root} has {len(train)} distinct texts; expected at least 10")
    return text_dataset(root.name, train, validation, test, source=f"the folder {root}")


def _documents(root: Path) -> Documents:
    classes = sorted(path for path in root.iterdir() if path.is_dir())
    if len(classes) < 2:
        raise DataError(
            f"{root} has {len(classes)} folders; expected one for each class, or a train.tsv"
        )
    found = []
    for path in classes:
        files = sorted(file for file in path.rglob("*") if file.is_file())
        if not files:
            raise DataError(f"the class folder {path} has no file")
        found += [(_text(file), path.name) for file in files]
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text: {error.reason} at {error.start}") from None
