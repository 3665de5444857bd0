"""Licence texts: permissive, copyleft or proprietary? Most are longer than 512 tokens.

Many are variants of one another, so no family is in two splits, and no two texts of about one
length that share half of their phrases. A short text may be a part of a longer one in another
split.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from examples.corpora.archive import members
from examples.corpora.dataset import Dataset
from examples.corpora.documents import distinct, text_dataset
from examples.corpora.fetch import fetch
from examples.corpora.similar import groups
from examples.corpora.sources import LICENCES
from examples.corpora.splits import folds

#: The class of each category of the collection; texts of other categories are left out.
CLASSES = {
    "Permissive": "permissive",
    "Public Domain": "permissive",
    "Copyleft": "copyleft",
    "Copyleft Limited": "copyleft",
    "Proprietary Free": "proprietary",
    "Commercial": "proprietary",
    "Free Restricted": "proprietary",
    "Source-available": "proprietary",
}

#: Which texts are long: of more than 2,000 bytes, or of more than 1,500 words.
LONG: dict[str, Callable[[str], bool]] = {
    "licences": lambda text: len(text.encode()) > 2000,
    "licences-long": lambda text: len(text.split()) > 1500,
}


def licences(name: str, fold: int = 0) -> Dataset:
    family: dict[str, str] = {}
    found = []
    for _, content in members(fetch(LICENCES), _is_licence):
        key, category, text = parse(content.decode())
        if category in CLASSES and LONG[name](text):
            found.append((text, CLASSES[category]))
            family.setdefault(text, key.split("-")[0])
    documents = distinct(found)
    texts = [text for text, _ in documents]
    group = groups(texts, [[family[text]] for text in texts], share=0.5)
    return text_dataset(name, *folds(documents, group, fold), source=LICENCES.source)


def _is_licence(name: str) -> bool:
    return name.startswith("licensedcode/data/licenses/") and name.endswith(".LICENSE")


def parse(content: str) -> tuple[str, str, str]:
    """Key, category and text of a file: fields between two lines of dashes, then the text."""
    _, head, text = (content + "\n").split("---\n", 2)
    fields = dict(re.findall(r"^(key|category): (.*)$", head, re.MULTILINE))
    return fields["key"], fields["category"], text.strip()
