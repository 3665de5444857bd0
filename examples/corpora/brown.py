"""The Brown corpus: 500 texts of about 2,000 words in 15 genres."""

from __future__ import annotations

import re

from examples.corpora.archive import members
from examples.corpora.dataset import Dataset
from examples.corpora.documents import text_dataset
from examples.corpora.fetch import fetch
from examples.corpora.sources import BROWN
from examples.corpora.splits import folds

#: The genre of each letter of a file's name. The first nine inform, the others are fiction.
GENRES = {
    "a": "news",
    "b": "editorial",
    "c": "reviews",
    "d": "religion",
    "e": "hobbies",
    "f": "lore",
    "g": "belles lettres",
    "h": "government",
    "j": "learned",
    "k": "fiction",
    "l": "mystery",
    "m": "science fiction",
    "n": "adventure",
    "p": "romance",
    "r": "humor",
}
NAME = re.compile(r"package/c[a-r]\d\d")


def brown(name: str, fold: int = 0) -> Dataset:
    """The set "brown" asks whether a text is informative, "brown-genres" for its genre."""
    documents = []
    for path, content in members(fetch(BROWN), lambda path: bool(NAME.fullmatch(path))):
        letter = path[len("package/c")]
        kind = "informative" if letter in "abcdefghj" else "imaginative"
        text = untagged(content.decode())
        documents.append((text, GENRES[letter] if name == "brown-genres" else kind))
    return text_dataset(name, *folds(documents, range(len(documents)), fold), source=BROWN.source)


def untagged(content: str) -> str:
    """The words of "word/tag word/tag", a sentence a line."""
    lines = (line.split() for line in content.split("\n"))
    return "\n".join(" ".join(word.rpartition("/")[0] for word in line) for line in lines if line)
