"""Cut documents into splits with a fixed seed, so that every run sees the same ones."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

from examples.corpora.errors import DataError

T = TypeVar("T")

SEED = 20210509  # of every cut; never the seed of a run


def cut(examples: Sequence[T], fraction: float) -> tuple[list[T], list[T]]:
    """A random `fraction` of the examples as second list, the others as first, in their order."""
    count = round(fraction * len(examples))
    chosen = set(random.Random(SEED).sample(range(len(examples)), count))
    kept = [example for index, example in enumerate(examples) if index not in chosen]
    return kept, [examples[index] for index in sorted(chosen)]


def parts(groups: Sequence[Hashable], labels: Sequence[Hashable], count: int) -> list[int]:
    """The part, 0 to `count` - 1, of each example, given the group and the label of each.

    No group is in two parts. Large groups choose first, groups of one size in a random order. Each
    takes the part with the fewest examples of its labels, counted in shares of a label's examples;
    of equal ones, the smallest part.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    order = sorted(members, key=lambda group: members[group][0])
    random.Random(SEED).shuffle(order)
    order.sort(key=lambda group: -len(members[group]))
    total = Counter(labels)
    inside: list[Counter[Hashable]] = [Counter() for _ in range(count)]
    part = [0] * len(groups)
    for group in order:
        adds = Counter(labels[index] for index in members[group])

        def load(number: int, adds: Counter[Hashable] = adds) -> tuple[float, int]:
            there = inside[number]
            share = sum(n * there[label] / total[label] for label, n in adds.items())
            return share, there.total()

        chosen = min(range(count), key=load)
        inside[chosen] += adds
        for index in members[group]:
            part[index] = chosen
    return part


def folds(
    documents: Sequence[tuple[T, str]], groups: Sequence[Hashable], fold: int, count: int = 5
) -> tuple[list[tuple[T, str]], list[tuple[T, str]], list[tuple[T, str]]]:
    """Train, validation and test documents of one fold of cross-validation.

    Of 2 `count` parts, `fold` takes two as test and the next one as validation. Over all folds,
    each document is in the test split once.
    """
    if not 0 <= fold < count:
        raise DataError(f"--fold must be 0 to {count - 1}, got {fold}")
    part = parts(groups, [label for _, label in documents], 2 * count)
    of_test = {2 * fold, 2 * fold + 1}
    of_validation = {2 * (fold + 1) % (2 * count)}
    train, validation, test = [], [], []
    for document, its_part in zip(documents, part, strict=True):
        if its_part in of_test:
            test.append(document)
        elif its_part in of_validation:
            validation.append(document)
        else:
            train.append(document)
    return train, validation, test
