"""The user's own tables, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples import data
from examples.corpora.dataset import Dataset, Split
from examples.corpora.errors import DataError
from examples.corpora.load import load
from python_tests.helpers.glue_tables import HEADERS, LABELS, table, write_tables

METRICS = {
    "MRPC": ("accuracy", "f1"),
    "QQP": ("accuracy", "f1"),
    "STS-B": ("pearson_spearman",),
    "CoLA": ("matthews",),
}


def splits(dataset: Dataset) -> list[Split]:
    return list(data.splits(dataset).values())


@pytest.mark.parametrize("task", HEADERS)
def test_each_task_of_glue(task: str, tmp_path: Path) -> None:
    files = {"train": table(task, "train", 40), "dev": table(task, "dev", 6)}
    if task == "MNLI":
        files["dev_matched"] = files.pop("dev")
        files["dev_mismatched"] = table(task, "other", 4)
        files["test_matched"] = table(task, "test", 4, labelled=False)
    elif task != "CoLA":
        files["test"] = table(task, "test", 5, labelled=False)
    dataset = load(write_tables(tmp_path / task, **files))
    assert dataset.name == task
    assert dataset.metrics == METRICS.get(task, ("accuracy",))
    assert dataset.train.inputs[1] == "train first 1"
    assert dataset.validation.inputs == tuple(f"dev first {i}" for i in range(6))
    assert len(dataset.test.inputs) == (4 if task == "MNLI" else 0)
    if task in ("SST-2", "CoLA"):
        assert dataset.train.pairs is None
    else:
        assert dataset.train.pairs is not None
        assert dataset.train.pairs[1] == "train second 1"
    if task == "STS-B":
        assert (dataset.classes, dataset.train.labels[:2]) == ((), (2.5, 5.0))
    else:
        assert dataset.classes == tuple(sorted(LABELS.get(task, ("0", "1"))))
        named = [dataset.classes[int(label)] for label in dataset.train.labels[:2]]
        assert named == list(LABELS.get(task, ("0", "1")))


def test_quotes_are_characters(tmp_path: Path) -> None:
    rows = "".join(f'"a {i}\t{i % 2}\n' for i in range(20))
    dataset = load(write_tables(tmp_path, train=f"sentence\tlabel\n{rows}"))
    assert all(str(text).startswith('"a ') for text in dataset.train.inputs)
    assert [len(split.inputs) for split in splits(dataset)] == [16, 2, 2]


def test_spaces_around_a_label_are_none_of_it(tmp_path: Path) -> None:
    rows = "".join(f"a {i}\t{'no' if i % 2 else 'yes '}\n" for i in range(20))
    dataset = load(write_tables(tmp_path, train=f"sentence\tlabel\n{rows}no {rows[:-1]}\n"))
    assert dataset.classes == ("no", "yes")


def test_a_table_without_dev_is_cut_without_repeats(tmp_path: Path) -> None:
    rows = table("SST-2", "train", 50)
    again = rows + "\n".join(rows.splitlines()[1:]) + "\n"
    dataset = load(write_tables(tmp_path, train=again, test=table("SST-2", "test", 5)))
    assert len(dataset.train.inputs) == 45
    assert not set(dataset.train.inputs) & set(dataset.validation.inputs)
    assert dataset.test.inputs[0] == "test first 0"


def test_no_text_is_in_two_splits_that_are_cut(tmp_path: Path) -> None:
    """Not even one that has another label there."""
    rows = table("SST-2", "train", 50)
    other = rows.replace("\t0", "\t2").replace("\t1", "\t0").replace("\t2", "\t1")
    twice = rows + "\n".join(other.splitlines()[1:]) + "\n"
    test = table("SST-2", "test", 5) + "train first 0\t0\n"
    parts = [
        set(split.inputs) for split in splits(load(write_tables(tmp_path, train=twice, test=test)))
    ]
    assert [len(part) for part in parts] == [44, 5, 6]
    assert len(set().union(*parts)) == 55


def test_given_splits_stay_and_what_they_share_is_said(tmp_path: Path) -> None:
    files = {"train": table("RTE", "train", 50), "dev": table("RTE", "train", 3)}
    with pytest.warns(UserWarning, match="3 of the 3 validation and test examples are also in tra"):
        found = load(write_tables(tmp_path, **files))
    assert [len(split.inputs) for split in splits(found)] == [50, 3, 0]


def test_a_few_broken_lines_are_left_out_and_said(tmp_path: Path) -> None:
    rows = table("QQP", "train", 2000)
    with pytest.warns(UserWarning, match="lines left out, as fields are missing: 1$"):
        dataset = load(
            write_tables(tmp_path, train=rows + "only\ttwo\n", dev=table("QQP", "dev", 4))
        )
    assert len(dataset.train.inputs) == 2000


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"train": "text\tclass\na\tb\n"}, r"has the columns 'text class'; expected those of"),
        ({"train": ""}, "is empty"),
        ({"train": "sentence\tlabel\n"}, r"train.tsv has no examples"),
        (
            {"train": "sentence\tlabel\n\n\na\t0\nb\nc\t1\n"},
            "line 5: expected at least 2 fields, got 1; broken lines: 1$",
        ),
        ({"train": "sentence\tlabel\na\t0\n"}, "too few examples to cut"),
        (
            {"train": "sentence\tlabel\na\t0\nb\t1\n", "dev": "sentence\tlabel\n"},
            r"dev.tsv has no examples",
        ),
        (
            {"train": "sentence\tlabel\na\t0\nb\t1\n", "dev": "sentence\tlabel\na\t2\n"},
            "the validation examples: the label '2'; expected one of the training examples, 0, 1",
        ),
        (
            {"train": "sentence\tlabel\n" + "".join(f"{i}\t0\n" for i in range(20))},
            "has one label, '0'; expected several",
        ),
        (
            {"train": "sentence\tlabel\na\t0\nb\t \nc\t1\n"},
            "line 3: the label, field 2, is empty; broken lines: 1$",
        ),
        (
            {"train": table("STS-B", "t", 9), "dev": table("STS-B", "d", 1).replace("2.5", "x")},
            "the label 'x'; expected a number",
        ),
        (
            {"train": table("STS-B", "t", 9), "dev": table("STS-B", "d", 1).replace("2.5", "nan")},
            "the label 'nan'; expected a number",
        ),
        (
            {"train": table("RTE", "t", 9), "dev": table("SST-2", "d", 2)},
            "has the columns of SST-2, but train.tsv those of RTE",
        ),
    ],
)
def test_bad_tables(files: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said) as error:
        load(write_tables(tmp_path, **files))
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"cannot read .*train.tsv as UTF-8 text"):
        load(str(tmp_path))


def test_a_table_alone_is_cut_into_all_splits(tmp_path: Path) -> None:
    found = load(write_tables(tmp_path, train=table("RTE", "train", 50)))
    assert [len(split.inputs) for split in splits(found)] == [41, 4, 5]


@pytest.mark.parametrize("label", ["-1", ""])
def test_a_test_table_without_labels_is_no_test_split(label: str, tmp_path: Path) -> None:
    unknown = "sentence\tlabel\n" + "".join(f"test {i}\t{label}\n" for i in range(5))
    files = {"train": table("SST-2", "train", 50), "dev": table("SST-2", "dev", 4)}
    found = load(write_tables(tmp_path, **files, test=unknown))
    assert [len(split.inputs) for split in splits(found)] == [50, 4, 0]
    labelled = files["train"].replace("\t0\n", "\t-1\n").replace("\t0\r\n", "\t-1\r\n")
    dev = files["dev"].replace("\t0", "\t-1")
    if label:  # where -1 is a class, it is a label
        found = load(write_tables(tmp_path, train=labelled, dev=dev, test=unknown))
        assert len(splits(found)[2].inputs) == 5


@pytest.mark.parametrize("name", ["validation.tsv", "valid.tsv", "val.tsv"])
def test_a_validation_table_has_several_names(name: str, tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(table("SST-2", "train", 40))
    (tmp_path / name).write_text(table("SST-2", "dev", 6))
    assert [len(split.labels) for split in splits(load(str(tmp_path)))] == [40, 6, 0]


def test_labels_that_contradict_or_are_numbers_are_said(tmp_path: Path) -> None:
    rows = [f"text {i}\t{i % 2}" for i in range(40)]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *rows, "text 0\t1", ""]))
    with pytest.warns(UserWarning, match="1 texts have several labels; the first counts"):
        load(str(tmp_path))
    rows = [f"text {i}\t0.{i}" for i in range(40)]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *rows, ""]))
    with pytest.warns(UserWarning, match="has 40 labels for 40 examples; a regression has the"):
        load(str(tmp_path))


def test_data_lists_the_sets_and_shows_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.main([])
    listed = capsys.readouterr().out
    assert "licensedcode-data 32.1.0, 26.7 MB; 5 folds" in listed
    assert "listops-short" in listed
    folder = write_tables(
        tmp_path / "own", train=table("RTE", "train", 40), dev=table("RTE", "dev", 4)
    )
    data.main([folder, "--examples", "1"])
    shown = capsys.readouterr().out
    assert load(folder).sha256 in shown
    assert "train            40 examples, 50.0% of the most frequent class" in shown
    assert "[0]\n    train first 0\n    train second 0\n" in shown
    with pytest.raises(SystemExit, match="no data set"):
        data.main(["nonsense"])
