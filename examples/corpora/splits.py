"""Cut documents into splits with a fixed seed, so that every run sees the same ones."""

from __future__ import annotations

import random
from collections import defaultdict
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


def parts(groups: Sequence[Hashable], count: int) -> list[int]:
    """The part, 0 to `count` - 1, of each example, given the group of each example.

    No group is in two parts. Groups go to the part with the fewest examples, large groups first,
    groups of one size in a random order.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    order = sorted(members, key=lambda group: members[group][0])
    random.Random(SEED).shuffle(order)
    order.sort(key=lambda group: -len(members[group]))
    sizes = [0] * count
    part = [0] * len(groups)
    for group in order:
        smallest = sizes.index(min(sizes))
        sizes[smallest] += len(members[group])
        for index in members[group]:
            part[index] = smallest
    return part


def folds(
    examples: Sequence[T], groups: Sequence[Hashable], fold: int, count: int = 5
) -> tuple[list[T], list[T], list[T]]:
    """Train, validation and test of one fold of cross-validation.

    Of 2 `count` parts, `fold` takes two as test and the next one as validation. Over all folds,
    each example is in the test split once.
    """
    if not 0 <= fold < count:
        raise DataError(f"fold must be 0 to {count - 1}, got {fold}")
    part = parts(groups, 2 * count)
    of_test = {2 * fold, 2 * fold + 1}
    of_validation = {2 * (fold + 1) % (2 * count)}
    chosen: tuple[list[T], list[T], list[T]] = ([], [], [])
    for example, its_part in zip(examples, part, strict=True):
        chosen[2 if its_part in of_test else 1 if its_part in of_validation else 0].append(example)
    return chosen
