"""The generated data sets by name."""

from __future__ import annotations

from functools import partial

from examples.corpora.dataset import Dataset
from examples.generators import listops, pathfinder
from examples.generators.generate import Task, generated

_DIGITS = tuple("0123456789")

TASKS = {
    task.name: task
    for task in (
        Task(
            name="listops",
            label="value of nested operators, 501 to 1,999 tokens",
            example=partial(listops.example, listops.OFFICIAL),
            origin="by the rules of ListOps in the sizes of Long Range Arena",
            classes=_DIGITS,
            vocabulary=listops.VOCABULARY,
            counts=(96_000, 2_000, 2_000),
        ),
        Task(
            name="listops-short",
            label="value of nested operators, 21 to 126 tokens",
            example=partial(listops.example, listops.SHORT),
            origin="by the rules of ListOps in smaller sizes",
            classes=_DIGITS,
            vocabulary=listops.VOCABULARY,
            counts=(200_000, 2_000, 4_000),
        ),
        Task(
            name="pathfinder",
            label="are two marks on one contour, 32 x 32 pixels?",
            example=pathfinder.example,
            origin="after Pathfinder with the numbers of Long Range Arena",
            classes=("apart", "connected"),
            vocabulary=pathfinder.VOCABULARY,
            counts=(20_000, 1_000, 2_000),
        ),
    )
}


def generated_set(name: str) -> Dataset:
    return generated(TASKS[name])
