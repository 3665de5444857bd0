"""What a program is trained on: three splits of labelled examples, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Texts, or token ids that need no encoding, as those of ListOps and of pixels.
Inputs = Sequence[str] | Sequence[bytes] | Sequence[Sequence[int]]


@dataclass(frozen=True)
class Split:
    """The examples of one split; `inputs`, `labels` and `pairs` have one length.

    Labels index `Dataset.classes`. They are floats where the task is a regression, as STS-B,
    whose `classes` is empty.
    """

    inputs: Inputs
    labels: Sequence[int] | Sequence[float]
    pairs: Inputs | None = None  # the second text of each example, of the same kind


@dataclass(frozen=True)
class Dataset:
    """Splits without a common document, and what a log says about them."""

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split  # empty where a TSV file has no labelled test examples
    sha256: str  # of the content that was read
    source: str  # package and version, licence in words
    metrics: tuple[str, ...] = ("accuracy",)  # also "f1", "matthews", "pearson_spearman"
    vocabulary: int | None = None  # where inputs are ids: 0 is padding, 1 is CLS, others from 2
