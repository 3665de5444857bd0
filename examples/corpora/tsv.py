"""The user's own tables: `train.tsv`, `dev.tsv` and `test.tsv`, with the columns of a GLUE task.

Fields are separated by tabs and never quoted. The columns say which task it is. An own table with
the columns `sentence` and `label`, or `sentence1`, `sentence2` and `label`, is read likewise.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.corpora.dataset import Dataset, Split
from examples.corpora.documents import digest, distinct, warn_of_contradictions
from examples.corpora.errors import DataError
from examples.corpora.splits import cut


@dataclass(frozen=True)
class Task:
    """The columns of a table: one or two texts, and the label."""

    name: str
    texts: tuple[str, ...]
    label: str
    metrics: tuple[str, ...] = ("accuracy",)
    header: tuple[str, ...] = ()  # of tables that have none

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.texts, self.label)


#: The tasks by their columns; the first one that a header has all columns of is taken.
TASKS = (
    Task("MRPC", ("#1 String", "#2 String"), "Quality", ("accuracy", "f1")),
    Task("QQP", ("question1", "question2"), "is_duplicate", ("accuracy", "f1")),
    Task("STS-B", ("sentence1", "sentence2"), "score", ("pearson_spearman",)),
    Task("MNLI", ("sentence1", "sentence2"), "gold_label"),
    Task("QNLI", ("question", "sentence"), "label"),
    Task("RTE", ("sentence1", "sentence2"), "label"),
    Task("SST-2", ("sentence",), "label"),
)
COLA = Task(
    "CoLA", ("sentence",), "label", ("matthews",), ("source", "label", "author's", "sentence")
)
#: Lines with missing fields are left out, as in QQP's published table, up to this share.
MOST_BROKEN = 1e-3

_VALIDATION = ("dev.tsv", "dev_matched.tsv", "validation.tsv", "valid.tsv", "val.tsv")

Rows = list[tuple[str, ...]]  # the fields of a task's columns


def tsv(folder: Path) -> Dataset:
    """The splits of one folder.

    The validation split is `dev.tsv` (MNLI: `dev_matched.tsv`), `validation.tsv`, `valid.tsv` or
    `val.tsv`, or else a tenth of `train.tsv`. The test split is `test.tsv` if that has labels
    (MNLI: `dev_mismatched.tsv`). Without it the test split is empty beside a validation table, as
    in GLUE, or else a tenth of `train.tsv`. Before the cut, `train.tsv` loses repeated texts and
    those of `test.tsv`; given splits that have texts in common stay as they are, with a warning.

    Raises:
        DataError: No task has the columns, a label is new or no number, or lines are broken.
    """
    task, kept = read(folder / "train.tsv")
    regression = task.metrics == ("pearson_spearman",)
    classes = () if regression else tuple(sorted({row[-1] for row in kept}))
    if len(classes) > max(20, len(kept) / 2):
        warnings.warn(
            f"{folder / 'train.tsv'} has {len(classes)} labels for {len(kept)} examples; a"
            " regression has the columns sentence1, sentence2 and score",
            stacklevel=2,
        )
    test: Rows = []
    if (file := _first(folder, "dev_mismatched.tsv", "test.tsv")) is not None:
        test = _same_task(file, task) if _labelled(file, classes) else []
    if (dev := _first(folder, *_VALIDATION)) is not None:
        validation = _same_task(dev, task)
        _warn_of_repeats(folder, kept, [*validation, *test])
    else:
        kept = _distinct(folder / "train.tsv", kept, test)
        if not test:
            kept, test = cut(kept, 0.1)
        kept, validation = cut(kept, 0.1)
        if not kept or not validation:
            raise DataError(f"{folder / 'train.tsv'} has too few examples to cut splits from them")
    if len(classes) == 1:
        raise DataError(f"{folder / 'train.tsv'} has one label, {classes[0]!r}; expected several")
    a, b, c = (
        _split(rows, task, classes, f"{folder}, the {name} examples:")
        for name, rows in (("training", kept), ("validation", validation), ("test", test))
    )
    sha256 = digest((a, b, c))
    return Dataset(folder.name, classes, a, b, c, sha256, f"the folder {folder}", task.metrics)


def _distinct(where: Path, rows: Rows, seen: Rows) -> Rows:
    """The rows without repeated texts and without the texts of `seen`; the first one stays."""
    documents, known = ([(row[:-1], row[-1]) for row in of] for of in (rows, seen))
    warn_of_contradictions(where, documents)
    return [(*texts, label) for texts, label in distinct(documents, known)]


def _warn_of_repeats(folder: Path, train: Rows, held_out: Rows) -> None:
    """Published splits stay as they are, but nobody shall miss what they have in common."""
    known = {row[:-1] for row in train}
    if count := sum(row[:-1] in known for row in held_out):
        warnings.warn(
            f"{folder}: {count} of the {len(held_out)} validation and test examples are also in"
            " train.tsv",
            stacklevel=3,
        )


def read(file: Path) -> tuple[Task, Rows]:
    """The task of a table and the fields of its columns."""
    lines = _lines(file)
    if not lines:
        raise DataError(f"{file} is empty")
    first = next(iter(lines.values()))
    task = _task_of(first)
    if task is None:
        known = "; ".join(" ".join(task.columns) for task in TASKS)
        raise DataError(
            f"{file} has the columns {' '.join(first)!r}; expected those of a task: {known}"
        )
    at = [(task.header or first).index(column) for column in task.columns]
    body = list(lines.items())[0 if task.header else 1 :]
    if not body:
        raise DataError(f"{file} has no examples")
    wrong = {number: why for number, line in body if (why := _fault(line, at))}
    if len(wrong) > MOST_BROKEN * len(body):
        number, why = next(iter(wrong.items()))
        raise DataError(f"{file}, line {number}: {why}; broken lines: {len(wrong)}")
    if wrong:
        warnings.warn(f"{file}: lines left out, as fields are missing: {len(wrong)}", stacklevel=2)
    return task, [
        (*(line[index] for index in at[:-1]), line[at[-1]].strip())
        for number, line in body
        if number not in wrong
    ]


def _fault(line: Sequence[str], at: Sequence[int]) -> str:
    """What is wrong with a line, whose last field of `at` is the label; empty if nothing is."""
    if len(line) <= max(at):
        return f"expected at least {max(at) + 1} fields, got {len(line)}"
    return "" if line[at[-1]].strip() else f"the label, field {at[-1] + 1}, is empty"


def _lines(file: Path) -> dict[int, list[str]]:
    """The fields of the lines that are not empty, by their numbers from 1."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file} as UTF-8 text: {error}") from None
    lines = text.replace("\r\n", "\n").split("\n")
    return {number: line.split("\t") for number, line in enumerate(lines, 1) if line}


def _task_of(first: Sequence[str]) -> Task | None:
    for task in TASKS:
        if set(task.columns) <= set(first):
            return task
    return COLA if len(first) == len(COLA.header) and first[1] in ("0", "1") else None


def _first(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _labelled(file: Path, classes: Sequence[str]) -> bool:
    """Whether a table has labels: "-1", where that is no class, and nothing are none."""
    header, *lines = _lines(file).values() or ([],)
    if (task := _task_of(header)) is None:
        return False
    at = (task.header or header).index(task.label)
    labels = {line[at].strip() for line in lines if len(line) > at}
    return not lines or not labels <= {"", "-1"} - set(classes)


def _same_task(file: Path, task: Task) -> Rows:
    other, rows = read(file)
    if other is not task:
        raise DataError(
            f"{file} has the columns of {other.name}, but train.tsv those of {task.name}"
        )
    return rows


def _split(rows: Rows, task: Task, classes: Sequence[str], where: str) -> Split:
    texts = [tuple(row[i] for row in rows) for i in range(len(task.texts))]
    labels = tuple(_labels([row[-1] for row in rows], classes, where))
    return Split(texts[0], labels, texts[1] if len(texts) > 1 else None)


def _labels(words: list[str], classes: Sequence[str], where: str) -> Iterator[int | float]:
    number = {name: index for index, name in enumerate(classes)}
    for word in words:
        try:
            yield number[word] if classes else _finite(word)
        except (KeyError, ValueError):
            named = ", ".join(classes[:10]) + ", ..." * (len(classes) > 10)
            expected = f"one of the training examples, {named}" if classes else "a number"
            raise DataError(f"{where} the label {word!r}; expected {expected}") from None


def _finite(word: str) -> float:
    if not math.isfinite(value := float(word)):
        raise ValueError(word)
    return value
