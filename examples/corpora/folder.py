"""The user's own texts: a folder with a folder of text files for each class.

reviews/good/1.txt, reviews/bad/7.txt        the splits are cut from all texts
reviews/train/good/1.txt, reviews/test/...   with splits of their own
reviews/1.txt, reviews/2.txt                 without classes, to pre-train on
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from examples.corpora.dataset import Dataset
from examples.corpora.documents import (
    Documents,
    class_names,
    distinct,
    text_dataset,
    warn_of_contradictions,
)
from examples.corpora.errors import DataError
from examples.corpora.splits import cut

_LEAST = 10  # texts, of which a tenth becomes each split that is missing
#: What the folder of a split may be called.
_SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}


def folder(root: Path) -> Dataset:
    """Texts of all files in each class's folder and below, one of each text.

    If the folder has `train` and `test` or `validation` (or `valid`, `val`, `dev`), they are the
    splits. A tenth of the training texts becomes each split that is missing. Names that begin with
    a dot are ignored, and texts without a character are left out with a warning.

    Raises:
        DataError: Fewer than two classes, a class without a text or in one split only, a folder
            beside those of splits, fewer than ten texts to cut splits from, a file that is not
            UTF-8, or anything that cannot be read.
    """
    given = {name: _documents(path) for name, path in _splits(root).items()}
    test = distinct(given["test"]) if "test" in given else None
    validation = distinct(given["validation"], test or ()) if "validation" in given else None
    warn_of_contradictions(root, given["train"])
    kept = distinct(given["train"], [*(test or ()), *(validation or ())])
    for name, split in (("validation", validation), ("test", test)):
        if split is None:
            continue
        classes, known = set(class_names(split)), set(class_names(kept))
        if other := classes ^ known:
            one, none = ("train", name) if min(other) in known else (name, "train")
            raise DataError(f"{root} has the class {min(other)!r} in {one} and not in {none}")
    if (test is None or validation is None) and len(kept) < _LEAST:
        raise DataError(f"{root} has {len(kept)} distinct texts; expected at least {_LEAST}")
    if test is None:
        kept, test = cut(kept, 0.1)
    if validation is None:
        kept, validation = cut(kept, 0.1)
    return text_dataset(root.resolve().name, kept, validation, test, source=f"the folder {root}")


def _splits(root: Path) -> dict[str, Path]:
    """The folder of each split; the root is `train` if no other is given.

    Beside other folders, `test` without `train` is a class, and so is `train` alone.
    """
    folders = [path for path in _visible(root) if path.is_dir()]
    found: dict[str, Path] = {}
    for path in folders:
        if (split := _SPLITS.get(path.name.lower())) is not None:
            found.setdefault(split, path)
    other = [path.name for path in folders if path not in found.values()]
    if not found or (other and ("train" not in found or len(found) == 1)):
        return {"train": root}
    named = " and ".join(path.name for path in found.values())
    if "train" not in found:
        raise DataError(f"{root} has {named}, but no train")
    if other:
        raise DataError(f"{root} has the folder {other[0]!r} beside its splits {named}")
    return found


def _documents(root: Path) -> Documents:
    """The texts with their classes; those without a class's folder have the class ""."""
    found = _visible(root)
    classes = [path for path in found if path.is_dir()]
    for path in classes:
        if not _is_text(path.name):
            raise DataError(
                f"{root} has a folder whose name is not UTF-8: {os.fsencode(path.name)!r}"
            )
    if not classes and found:
        return list(_texts(root, ""))
    if len(classes) < 2:
        raise DataError(
            f"{root} has {len(classes)} folders; expected one for each class, or a train.tsv"
        )
    return [document for path in classes for document in _texts(path, path.name)]


def _is_text(name: str) -> bool:
    """Whether a file name is UTF-8: other bytes become half a surrogate pair each."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _texts(root: Path, name: str) -> Iterator[tuple[str, str]]:
    files = [file for file in _below(root) if file.is_file()]
    texts = [text for file in files if (text := _text(file)).strip()]
    if not texts:
        raise DataError(f"the class folder {root} has no file with a text")
    if empty := len(files) - len(texts):
        warnings.warn(f"{root}: {empty} files without a text are left out", stacklevel=2)
    return ((text, name) for text in texts)


def _below(root: Path) -> Iterator[Path]:
    for path in _visible(root):
        yield from _below(path) if path.is_dir() else (path,)


def _visible(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"cannot read {root}: {error.strerror}") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text: {error.reason} at {error.start}") from None
