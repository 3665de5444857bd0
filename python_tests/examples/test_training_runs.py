"""Runs of classify on small tables: what they learn and write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from examples import classify
from examples.training import log, loop
from fnet_kernels.models import FNetForSequenceClassification
from python_tests.helpers.classify_runs import losses, words
from python_tests.helpers.paths import ROOT
from python_tests.helpers.small_texts import write_texts

pytestmark = pytest.mark.usefixtures("threads_restored")


@pytest.mark.parametrize(
    "more",
    [
        "--pooling mean",
        "--padding exact",
        "--padding zero --units bytes --seq 64 --pooling mean",
        "--mixer none --pooling mean",
        "--mixer linear --attention-layers 1 --pooling mean",
        "--mixer attention --pooling mean --dtype bf16",
    ],
)
def test_the_loss_falls(texts: Path, tmp_path: Path, more: str) -> None:
    classify.main(words(texts, tmp_path / "run", f"--steps 20 --dropout 0 {more}"))
    found = losses(tmp_path / "run")
    assert len(found) == 20
    assert sum(found[-5:]) < 0.97 * sum(found[:5])


def test_a_word_is_learned_from_pairs(pairs: Path, tmp_path: Path) -> None:
    more = "--units unigram --pooling mean --epochs 8 --padding exact --seq 64"
    pytest.importorskip("tokenizers")
    found = classify.main(words(pairs, tmp_path / "run", more))
    assert found["accuracy"] > 0.8  # the majority is 0.5


def test_the_log_and_the_model_are_complete(texts: Path, tmp_path: Path) -> None:
    """As a user runs it, in a process of its own."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "examples.classify", *words(texts, out, "--epochs 2")]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    assert "test loss" in child.stdout
    records = log.records(out)
    header, last = records[0], records[-1]
    assert header["command"][:3] == ["python", "-m", "examples.classify"]
    assert header["options"]["hidden"] == 32
    data = header["data"]
    assert [data[name] for name in ("classes", "train", "validation", "test")] == [2, 200, 40, 60]
    assert len(data["sha256"]) == 64
    assert header["floors"] == {"majority": 0.5}
    assert (header["threads"], header["clock"]) == (1, "processor")
    kinds = [one["kind"] for one in records]
    assert kinds.count("step") == 24  # 200 // 16 = 12 an epoch
    assert [one["step"] for one in records if one["kind"] == "validation"] == [12, 24]
    assert kinds[-1] == "test"
    assert kinds.count("test") == 1
    step = records[kinds.index("step")]
    assert step.keys() == {"kind", "step", "loss", "lr", "tokens", "seconds", "peak_bytes"}
    assert last["tokens"] > step["tokens"] > 0
    model = FNetForSequenceClassification.from_pretrained(out / "model")
    assert sum(p.numel() for p in model.parameters()) == header["parameters"]
    assert (out / "model" / "encoder.json").exists()
    assert not (out / "state.pt").exists()


def test_the_test_examples_do_not_change_a_run(texts: Path, tmp_path: Path) -> None:
    other = write_texts(tmp_path / "data")
    lines = (other / "test.tsv").read_text().splitlines()
    flipped = [lines[0], *(f"{line[:-1]}{1 - int(line[-1])}" for line in lines[1:])]
    (other / "test.tsv").write_text("\n".join([*flipped, ""]))
    first = classify.main(words(texts, tmp_path / "a"))
    second = classify.main(words(other, tmp_path / "b"))
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert first["accuracy"] == pytest.approx(1 - second["accuracy"])


def test_the_seed_chooses_weights_and_order(texts: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        classify.main(words(texts, tmp_path / name, f"--steps 3 --seed {seed}"))
    a, b, c = (losses(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c


def test_a_table_without_test_examples(texts: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train.tsv", "dev.tsv"):
        (data / name).write_text((texts / name).read_text())
    found = classify.main(words(data, tmp_path / "run"))
    assert found.keys() == {"loss", "accuracy"}  # of validation
    records = log.records(tmp_path / "run")
    assert records[-1]["kind"] == "finished"
    assert found["loss"] == [one for one in records if one["kind"] == "validation"][-1]["loss"]
    assert records[0]["floors"] == {"majority": 0.5}
    assert log.finished(tmp_path / "run")


@pytest.mark.parametrize("threads", [1, 2])
def test_minutes_end_a_run(texts: Path, tmp_path: Path, threads: int) -> None:
    classify.main(words(texts, tmp_path / "run", f"--minutes 0.01 --threads {threads}"))
    header, *_, last = log.records(tmp_path / "run")
    assert header["clock"] == ("processor" if threads == 1 else "wall")
    assert 0.6 <= last["seconds"] < 2.0


def test_a_regression_of_scores(tmp_path: Path) -> None:
    data = tmp_path / "scores"
    data.mkdir()
    for name, count in (("train", 64), ("dev", 16), ("test", 16)):
        rows = [f"a{'b' * (i % 5)} b\ta b\t{i % 5}.5" for i in range(count)]
        (data / f"{name}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows, ""]))
    found = classify.main(words(data, tmp_path / "run"))
    assert found.keys() == {"loss", "pearson", "spearman", "pearson_spearman"}
    assert sum(losses(tmp_path / "run")[-5:]) < 0.5 * sum(losses(tmp_path / "run")[:5])


def test_a_compiled_run_has_the_same_losses(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the graph of torch.compile but without its code generation, which takes a minute."""
    modes: list[Any] = []
    compile_ = torch.nn.Module.compile

    def without_code(self: torch.nn.Module, **options: Any) -> None:
        modes.append(options)
        compile_(self, backend="aot_eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", without_code)
    classify.main(words(texts, tmp_path / "compiled", "--steps 5 --dropout 0 --compile"))
    classify.main(words(texts, tmp_path / "eager", "--steps 5 --dropout 0"))
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "eager"), rel=1e-4)
    assert modes == [{"fullgraph": True}]


def test_the_log_is_json_to_the_last_digit(texts: Path, tmp_path: Path) -> None:
    task_losses: list[float] = []
    mean = loop._mean

    def noted(loss: torch.Tensor) -> float:
        task_losses.append(loss.item())
        return mean(loss)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_mean", noted)
        classify.main(words(texts, tmp_path / "run", "--steps 3"))
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [x["loss"] for x in map(json.loads, lines) if x["kind"] == "step"] == task_losses
