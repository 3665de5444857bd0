"""Labelled texts, and how they become the splits of a data set."""

from __future__ import annotations

import hashlib
import warnings
from array import array
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from examples.corpora.dataset import Dataset, Split

T = TypeVar("T")  # a text, or the texts of an example

#: Texts with the names of their classes.
Documents = Sequence[tuple[str, str]]


def class_names(*splits: Documents) -> tuple[str, ...]:
    return tuple(sorted({name for documents in splits for _, name in documents}))


def split_of(documents: Documents, classes: Sequence[str]) -> Split:
    number = {name: index for index, name in enumerate(classes)}
    texts, names = zip(*documents, strict=True) if documents else ((), ())
    return Split(texts, tuple(number[name] for name in names))


def distinct(
    documents: Iterable[tuple[T, str]], seen: Iterable[tuple[T, str]] = ()
) -> list[tuple[T, str]]:
    """The documents without repeated texts and without the texts of `seen`; the first one stays."""
    known = {text for text, _ in seen}
    found: dict[T, str] = {}
    for text, name in documents:
        if text not in known:
            found.setdefault(text, name)
    return list(found.items())


def warn_of_contradictions(where: object, documents: Iterable[tuple[Hashable, str]]) -> None:
    """Say of how many texts `distinct` drops a label that differs from the one it keeps."""
    names: dict[Hashable, set[str]] = {}
    for text, name in documents:
        names.setdefault(text, set()).add(name)
    if count := sum(len(of_text) > 1 for of_text in names.values()):
        warnings.warn(f"{where}: {count} texts have several labels; the first counts", stacklevel=3)


def digest(splits: Iterable[Split]) -> str:
    """SHA-256 of all examples, in their order."""
    found = hashlib.sha256()
    for split in splits:
        found.update(f"{len(split.inputs)} examples\n".encode())
        for texts in (split.inputs, split.pairs or ()):
            for text in texts:
                found.update(_as_bytes(text))
                found.update(b"\0")
        found.update(repr(list(split.labels)).encode())
    return found.hexdigest()


def _as_bytes(text: str | bytes | Sequence[int]) -> bytes:
    if isinstance(text, str):
        return text.encode()
    return text if isinstance(text, bytes) else array("H", text).tobytes()


def text_dataset(
    name: str, train: Documents, validation: Documents, test: Documents, source: str
) -> Dataset:
    """A data set of single texts; its classes are those of all splits, sorted."""
    classes = class_names(train, validation, test)
    a, b, c = (split_of(documents, classes) for documents in (train, validation, test))
    return Dataset(name, classes, a, b, c, digest((a, b, c)), source)
