"""The metrics of classification and of GLUE, which are those of its task pages.

defines: measure
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]


def measure(names: Iterable[str], predictions: Numbers, labels: Numbers) -> dict[str, float]:
    """Compare predictions with labels.

    Args:
        names: of "accuracy", "f1" (of class 1), "matthews" and "pearson_spearman", which makes
            three: both correlations and their mean.
        predictions: classes, or numbers of a regression, `[n]`.
        labels: as `predictions`.

    >>> measure(["accuracy", "f1"], np.array([1, 1, 0, 0]), np.array([1, 0, 0, 0]))["accuracy"]
    0.75
    """
    found: dict[str, float] = {}
    for name in names:
        if name == "pearson_spearman":
            both = _correlation(predictions, labels), _spearman(predictions, labels)
            found |= dict(zip(("pearson", "spearman"), both, strict=True))
            found[name] = sum(both) / 2
        else:
            function = {"accuracy": _accuracy, "f1": _f1, "matthews": _matthews}[name]
            found[name] = function(predictions, labels)
    return found


def _accuracy(predictions: Numbers, labels: Numbers) -> float:
    return float((predictions == labels).mean())


def _f1(predictions: Numbers, labels: Numbers) -> float:
    """2 TP / (2 TP + FP + FN)."""
    found, sought = predictions == 1, labels == 1
    total = int(found.sum() + sought.sum())
    return 2.0 * int((found & sought).sum()) / total if total else 0.0


def _matthews(predictions: Numbers, labels: Numbers) -> float:
    """Matthews' correlation of two classes: Pearson's, of the classes as numbers."""
    return _correlation(predictions == 1, labels == 1)


def _correlation(x: Numbers, y: Numbers) -> float:
    """Pearson's correlation, 0 where it is not defined."""
    x, y = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (x, y))
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale else 0.0


def _spearman(x: Numbers, y: Numbers) -> float:
    return _correlation(_ranks(x), _ranks(y))


def _ranks(x: Numbers) -> Numbers:
    """The rank of each value, the mean rank among equal ones."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Numbers = (last - (counts - 1) / 2)[inverse]
    return ranks
