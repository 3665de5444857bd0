"""Small tables of texts for the training programs: the label is whether a certain word occurs."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heath",
    "inlet",
    "jetty",
    "knoll",
    "larch",
]


def _texts(count: int, seed: int) -> list[tuple[str, int]]:
    """Texts of 4 to 12 words, and whether "zebra" is one of them, or some."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        words = chance.choices(WORDS, k=chance.randint(4, 12))
        if number % 2:
            words = ["zebra" if chance.random() < 0.4 else word for word in words[1:]] + ["zebra"]
        found.append((" ".join(words), number % 2))
    return found


def write_texts(folder: Path, count: int = 200) -> Path:
    """Write `train.tsv`, `dev.tsv` and `test.tsv` with a sentence and its label."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, rows) in enumerate({"train": count, "dev": 40, "test": 60}.items()):
        lines = [f"{text}\t{label}" for text, label in _texts(rows, seed)]
        (folder / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *lines, ""]))
    return folder


def write_pairs(folder: Path, count: int = 200) -> Path:
    """Write the same with two sentences, and whether "zebra" is in one of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, rows) in enumerate({"train": count, "dev": 40, "test": 60}.items()):
        both = zip(_texts(rows, seed), _texts(rows, seed + 10), strict=True)
        lines = [f"{a}\t{b.replace('zebra', 'heath')}\t{label}" for (a, label), (b, _) in both]
        (folder / f"{name}.tsv").write_text("\n".join(["sentence1\tsentence2\tlabel", *lines, ""]))
    return folder


def write_documents(folder: Path, count: int = 40) -> Path:
    """Write texts of several sentences, of two kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(0)
    for name, rows in {"train": count, "dev": 12, "test": 12}.items():
        lines = ["sentence\tlabel"]
        for number in range(rows):
            word = chance.choice(WORDS)  # the same throughout a document
            text = " ".join(f"{word} {chance.choice(WORDS)} {word}." for _ in range(20))
            lines.append(f"{text}\t{number % 2}")
        (folder / f"{name}.tsv").write_text("\n".join([*lines, ""]))
    return folder
