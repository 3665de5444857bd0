"""The user's own folders, and what is said of bad ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from shutil import rmtree

import pytest

from examples import data
from examples.corpora.dataset import Dataset
from examples.corpora.errors import DataError
from examples.corpora.load import load


def classes(root: Path, count: int = 30) -> None:
    for name in ("good", "bad"):
        for i in range(count):
            file = root / name / f"deep{i % 2}" / f"{i}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{name} {root.name} {i}\n", encoding="utf-8")


def inputs(dataset: Dataset) -> list[set[object]]:
    return [set(split.inputs) for split in data.splits(dataset).values()]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    classes(tmp_path)
    (tmp_path / "bad" / "copy.txt").write_text("bad 0\n".replace("0", f"{tmp_path.name} 0"))
    (tmp_path / "notes.txt").write_text("not a class")
    dataset = load(str(tmp_path))
    assert dataset.classes == ("bad", "good")
    found = inputs(dataset)
    assert [len(split) for split in found] == [49, 5, 6]
    assert len(set().union(*found)) == 60
    for text, label in zip(dataset.train.inputs, dataset.train.labels, strict=True):
        assert str(text).split()[0] == dataset.classes[int(label)]


def test_folders_for_train_and_test(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    classes(tmp_path / "test", 4)
    (tmp_path / "train" / "good" / "known.txt").write_text("good test 0\n")
    found = inputs(load(str(tmp_path)))
    assert found[2] == {f"{name} test {i}\n" for name in ("good", "bad") for i in range(4)}
    assert [len(split) for split in found] == [54, 6, 8]


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_a_folder_for_validation(name: str, tmp_path: Path) -> None:
    classes(tmp_path / "train")
    classes(tmp_path / name, 4)
    (tmp_path / "train" / "good" / "known.txt").write_text(f"good {name} 0\n")
    dataset = load(str(tmp_path))
    assert dataset.classes == ("bad", "good")
    found = inputs(dataset)
    assert found[1] == {f"{kind} {name} {i}\n" for kind in ("good", "bad") for i in range(4)}
    assert [len(split) for split in found] == [54, 8, 6]
    classes(tmp_path / "test", 2)
    assert [len(split) for split in inputs(load(str(tmp_path)))] == [60, 8, 4]
    (tmp_path / "unsup").mkdir()
    with pytest.raises(DataError, match="has the folder 'unsup' beside its splits"):
        load(str(tmp_path))


def test_folders_of_splits_have_any_case_and_need_train(tmp_path: Path) -> None:
    classes(tmp_path / "Train")
    assert [len(split) for split in inputs(load(str(tmp_path)))] == [49, 5, 6], "all are cut"
    classes(tmp_path / "Test", 4)
    dataset = load(str(tmp_path))
    assert dataset.classes == ("bad", "good")
    assert [len(split) for split in inputs(dataset)] == [54, 6, 8]
    (tmp_path / "Train").rename(tmp_path / "dev")
    with pytest.raises(DataError, match="has Test and dev, but no train"):
        load(str(tmp_path))


def test_a_class_whose_name_is_no_text(tmp_path: Path) -> None:
    classes(tmp_path)
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    with pytest.raises(DataError, match=r"a folder whose name is not UTF-8: b'caf\\xe9'"):
        load(str(tmp_path))


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        (tmp_path / name).mkdir()
        for i in range(10):
            (tmp_path / name / f"{i}.txt").write_text(f"{name} {i}")
    assert load(str(tmp_path)).classes == ("bus", "train")


def test_what_is_hidden_or_empty_is_no_text(tmp_path: Path) -> None:
    classes(tmp_path)
    expected = load(str(tmp_path)).sha256
    for hidden in (".git/HEAD", "good/.ipynb_checkpoints/0.txt", "good/.DS_Store"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_bytes(b"\xff hidden")
    assert load(str(tmp_path)).sha256 == expected
    (tmp_path / "good" / "empty.txt").write_text(" \n")
    marked = tmp_path / "good" / "deep0" / "0.txt"
    marked.write_text(marked.read_text(), encoding="utf-8-sig")
    with pytest.warns(UserWarning, match="good: 1 files without a text are left out"):
        assert load(str(tmp_path)).sha256 == expected


def test_texts_without_classes(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / f"{i}.txt").write_text(f"text {i}")
    dataset = load(str(tmp_path))
    assert dataset.classes == ("",)
    assert [len(split) for split in inputs(dataset)] == [16, 2, 2]


def forbidden(path: Path, **_: str) -> str:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def test_bad_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(said: str) -> None:
        with pytest.raises(DataError, match=said):
            load(str(tmp_path))

    refuses("has 0 folders; expected one for each class, or a train.tsv")
    for name in "ab":
        (tmp_path / name).mkdir()
    refuses("the class folder .*a has no file")
    for name in "ab":
        (tmp_path / name / "1.txt").write_text(name)
    refuses("has 2 distinct texts; expected at least")
    (tmp_path / "b" / "2.txt").write_bytes(b"caf\xe9")
    refuses("2.txt is not UTF-8 text: .* at 3")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", forbidden)
        refuses("cannot read .*1.txt: Permission denied")
    for name in "ab":
        rmtree(tmp_path / name)
    for split, name in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "c")):
        (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / split / name / "1.txt").write_text(split + name)
    refuses("has the class 'b' in train and not in test")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", forbidden)
        refuses("cannot read .*: Permission denied")
    (tmp_path / "train.csv").write_text("sentence,label")
    refuses("has train.csv, but no train.tsv")


def test_texts_of_several_classes_are_said(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(10):
            (tmp_path / name / f"{i}.txt").write_text(f"{name if i else ''} text {i}")
    with pytest.warns(UserWarning, match="1 texts have several labels"):
        load(str(tmp_path))


def test_names_and_folds() -> None:
    with pytest.raises(DataError, match="no data set and no folder ''"):
        load("")
    with pytest.raises(DataError, match="no data set and no folder 'imdb'; the sets are r8, "):
        load("imdb")
    with pytest.raises(
        DataError, match=r"'x{80}' is no data set and no path: .*File name too long"
    ):
        load("x" * 5000)
    with pytest.raises(
        DataError, match=r"__init__\.py is a file; expected a folder with a train.tsv"
    ):
        load(data.__file__.replace("data.py", "__init__.py"))
    with pytest.raises(DataError, match="--fold must be 0 for r8, which is not in folds, got 1"):
        load("r8", 1)
