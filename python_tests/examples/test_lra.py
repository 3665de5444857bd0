"""Each task of examples.lra on small data: it learns, and its log says what it must."""

from __future__ import annotations

import json
import random
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from examples import lra
from examples.corpora import load
from examples.corpora.dataset import Dataset, Split
from examples.corpora.errors import DataError
from examples.generators.tasks import TASKS
from examples.training.batches import Batch
from examples.training.encode import Bytes
from examples.training.log import records
from examples.training.matching import FNetForMatching, Matching, encode_towers
from fnet_kernels.models import FNetConfig

SMALL = (
    "--hidden",
    "16",
    "--intermediate",
    "16",
    "--batch",
    "16",
    "--lr",
    "1e-2",
    "--threads",
    "1",
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_help_names_the_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        lra.main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert all(f"examples.lra {task}" in said for task in lra.TASKS)


def train(task: str, out: Path, *flags: str) -> list[dict[str, Any]]:
    """The log of a short run."""
    words = (*SMALL, "--out", str(out), "--steps", "20", "--log-every", "1", *flags)
    lra.main([task, *words])
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def steps(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in log if record["kind"] == "step"]


def falls(log: list[dict[str, Any]]) -> bool:
    losses = [record["loss"] for record in steps(log)]
    assert len(losses) == 20
    return bool(np.mean(losses[-5:]) < np.mean(losses[:5]))


def small(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, name, replace(TASKS[name], counts=(count, 16, 16)))


def test_listops_says_the_floor_of_the_root_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small("listops-short", 64, monkeypatch)
    log = train("listops", tmp_path / "run", "--data", "listops-short", "--seq", "128")
    assert falls(log)
    header = log[0]
    assert header["program"] == "lra listops"
    assert header["floors"].keys() == {"majority", "root_operator"}
    assert 0 < header["floors"]["root_operator"] < 1
    assert header["data"]["train"] == 64
    assert header["options"]["pooling"] == "mean"
    assert log[-1]["kind"] == "test"


def test_pathfinder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small("pathfinder", 16, monkeypatch)
    words = ["--steps", "20", "--batch", "4", "--layers", "1", "--lr", "0.005"]
    log = train("pathfinder", tmp_path / "run", *words)
    assert log[0]["data"]["classes"] == 2
    assert log[0]["options"]["seq"] == 1024
    assert [record["tokens"] for record in steps(log)][:3] == [4 * 1024 * i for i in (1, 2, 3)]
    assert falls(log), "it learns the sixteen pictures"


def test_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bright and dark images, which a model tells apart at once."""
    chance = random.Random(0)
    splits = []
    for count in (64, 16, 16):
        labels = [i % 2 for i in range(count)]
        images = [
            array("H", (chance.randrange(2 + 99 * i, 99 + 99 * i) for _ in range(49)))
            for i in labels
        ]
        splits.append(Split(images, labels))
    made = Dataset("mnist", ("dark", "bright"), *splits, sha256="0", source="made", vocabulary=258)
    monkeypatch.setitem(load.SETS, "mnist", load.Known("", None, lambda: made))
    log = train("image", tmp_path / "run", "--seq", "49")
    assert falls(log)
    assert log[-1]["accuracy"] > 0.9


def test_text_of_a_folder_in_bytes(tmp_path: Path) -> None:
    chance = random.Random(0)
    for name, letters in (("a", "abcd"), ("b", "wxyz")):
        folder = tmp_path / "texts" / name
        folder.mkdir(parents=True)
        for i in range(60):
            (folder / f"{i}.txt").write_text("".join(chance.choices(letters, k=40)))
    log = train("text", tmp_path / "run", "--data", str(tmp_path / "texts"), "--seq", "48")
    assert falls(log)
    assert log[-1]["accuracy"] > 0.9
    assert log[0]["options"]["units"] == "bytes"


def pairs_folder(folder: Path) -> str:
    """Do both texts have the same letters?"""
    chance = random.Random(0)
    folder.mkdir()
    for name, count in (("train", 96), ("dev", 16), ("test", 16)):
        rows = ["sentence1\tsentence2\tlabel"]
        for i in range(count):
            first = chance.randrange(2)
            kinds = first, first if i % 2 else 1 - first
            texts = ("".join(chance.choices(("ab", "yz")[kind], k=12)) for kind in kinds)
            rows.append("\t".join((*texts, str(i % 2))))
        (folder / f"{name}.tsv").write_text("\n".join(rows))
    return str(folder)


@pytest.mark.parametrize("padding", ["tokens", "exact"])
def test_retrieval(tmp_path: Path, padding: str) -> None:
    data = pairs_folder(tmp_path / "pairs")
    log = train("retrieval", tmp_path / "run", "--data", data, "--seq", "16", "--padding", padding)
    assert falls(log)
    assert log[0]["data"]["validation"] == 16
    # [CLS] and [SEP] with 12 letters, in both texts of 16 pairs, are 448.
    assert [record["tokens"] for record in steps(log)] == [448 * i for i in range(1, 21)]
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pairs_folder(tmp_path / "pairs")
    flags = ("--data", data, "--seq", "16", "--steps", "12", "--save-every", "4")
    whole = train("retrieval", tmp_path / "whole", *flags)
    loss = Matching.loss

    def fails(self: Matching, model: torch.nn.Module, step: int) -> Any:
        if step == 7:
            raise KeyError
        return loss(self, model, step)

    monkeypatch.setattr(Matching, "loss", fails)
    with pytest.raises(KeyError):
        train("retrieval", tmp_path / "cut", *flags)
    monkeypatch.setattr(Matching, "loss", loss)
    resumed = train("retrieval", tmp_path / "cut", *flags, "--resume")
    assert {"kind": "resumed", "step": 4} in resumed
    losses = [record["loss"] for record in steps(whole)]
    assert [record["loss"] for record in steps(records(tmp_path / "cut"))] == losses


def test_the_budget_is_that_of_the_command_line(tmp_path: Path) -> None:
    data = pairs_folder(tmp_path / "pairs")
    out = tmp_path / "run"
    lra.main(["text", *SMALL, "--data", data, "--seq", "32", "--epochs", "2", "--out", str(out)])
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2 * 96 // 16
    assert [task().steps for task in lra.TASKS.values()] == [5000] * 5


def matching(padding: str) -> FNetForMatching:
    config = FNetConfig.mini(vocab_size=261, num_labels=2, padding=padding, pooling="mean")
    return FNetForMatching(config).eval()


def test_matching_sees_both_texts_and_their_order() -> None:
    model = matching("tokens")
    u, v = torch.randint(5, 261, (2, 3, 12))
    with torch.inference_mode():
        logits = model(torch.cat([u, v])).logits
        outputs = [model.fnet(x).pooler_output for x in (u, v)]
        a, b = outputs
        expected = model.classifier(torch.cat([a, b, a * b, a - b], -1))
        swapped = model(torch.cat([v, u])).logits
    assert logits.shape == (3, 2)
    torch.testing.assert_close(logits, expected)
    assert not torch.allclose(logits, swapped, atol=1e-4)


@pytest.mark.parametrize("padding", ["tokens", "exact"])
def test_a_batch_of_matching_holds_the_pairs(padding: str) -> None:
    config = FNetConfig.mini(vocab_size=261, padding=padding)
    first, second = ([letter * (i + 2) for i in range(5)] for letter in "ab")
    towers = encode_towers(Split(first, range(5), second), Bytes(), 16, "mean")
    assert towers.lengths.tolist() == [8, 10, 12, 14, 16]
    options = lra.Retrieval(batch=2, seq=16)
    task = Matching(config, options, {"train": towers}, ("accuracy",), torch.device("cpu"))
    batch: Batch = task._batch("train", np.array([3, 1]))
    assert batch.labels.tolist() == [3, 1]
    assert batch.lengths == [7, 5, 7, 5]
    assert batch.ids.shape == (4, 16 if padding == "tokens" else 7)
    letters = [bytes(int(i) - 5 for i in row if i > 4).decode() for row in batch.ids]
    assert letters == ["aaaaa", "aaa", "bbbbb", "bbb"]
    assert batch.mask.sum(1).tolist() == batch.lengths


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"the first word must be a task, listops, .*; got 'imdb'"):
        lra.main(["imdb"])
    with pytest.raises(SystemExit, match="the first word must be a task"):
        lra.main([])
    rows = "".join(f"text {i}\t{i % 2}\n" for i in range(40))
    (tmp_path / "train.tsv").write_text(f"sentence\tlabel\n{rows}")
    with pytest.raises(DataError, match="retrieval needs a data set of pairs of texts; this one"):
        lra.main(["retrieval", "--data", str(tmp_path), "--out", str(tmp_path / "run")])


@pytest.mark.parametrize("rate", ["nan", "-1"])
def test_the_rate_is_checked_as_in_other_programs(
    rate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        lra.main(["listops", f"--lr={rate}"])
    assert f"must be a number of at least 0, got '{rate}'" in capsys.readouterr().err
