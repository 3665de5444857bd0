"""Runs of classify on small tables: what it learns, writes, and refuses."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from examples import classify
from examples.training import encode, log, loop
from examples.training.failures import writing
from fnet_kernels.models import FNetConfig, FNetForSequenceClassification
from python_tests.helpers.paths import ROOT
from python_tests.helpers.small_texts import write_pairs, write_texts

pytestmark = pytest.mark.usefixtures("threads_restored")
SMALL = "--hidden 32 --intermediate 64 --seq 16 --batch 16 --threads 1 --log-every 1 --lr 0.005"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("data") / "texts")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs")


def words(data: Path, out: Path, more: str = "--steps 20") -> list[str]:
    return ["--data", str(data), "--out", str(out), *SMALL.split(), *more.split()]


def losses(out: Path) -> list[float]:
    """The loss of each step, without those that a resumed run repeated."""
    return [one["loss"] for one in log.records(out) if one["kind"] == "step"]


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
    assert header["threads"] == 1
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


def test_minutes_end_a_run(texts: Path, tmp_path: Path) -> None:
    classify.main(words(texts, tmp_path / "run", "--minutes 0.01"))
    last = log.records(tmp_path / "run")[-1]
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


# Resuming


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, number: int) -> None:
    """Send a signal to this process when it has logged a step."""
    write = log.Log.write

    def and_signal(self: log.Log, kind: str, **values: Any) -> None:
        write(self, kind, **values)
        if kind == "step" and values["step"] == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(log.Log, "write", and_signal)


KILLED = """
import os, sys
from examples import classify
from examples.training import log

write = log.Log.write
def and_kill(self, kind, **values):
    write(self, kind, **values)
    if kind == "step" and values["step"] == 37:
        os.kill(os.getpid(), 9)
log.Log.write = and_kill
classify.main(sys.argv[1:])
"""


def test_a_killed_run_resumes_to_the_bit(texts: Path, tmp_path: Path) -> None:
    more = "--steps 50 --save-every 10 --evaluate-every 15"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = classify.main(words(texts, whole, more))
    command = [sys.executable, "-c", KILLED, *words(texts, killed, more)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert len(losses(killed)) == 37
    found = classify.main([*words(texts, killed, more), "--resume"])
    assert {"kind": "resumed", "step": 30} in log.records(killed)
    assert losses(killed) == losses(whole)
    assert len(set(losses(whole))) == 50
    assert found == expected
    ours, theirs = (
        FNetForSequenceClassification.from_pretrained(x / "model") for x in (killed, whole)
    )
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_ctrl_c_saves(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    classify.main(words(texts, whole))
    more = "--steps 20 --evaluate-every 4"  # and thus at the step of the end
    with monkeypatch.context() as patch:
        at_step(patch, 7, signal.SIGINT)
        with pytest.raises(SystemExit, match=r"stopped; step 8 is saved in .*: --resume goes on"):
            classify.main(words(texts, stopped, more))
    classify.main([*words(texts, stopped, more), "--resume"])
    validated = [one["step"] for one in log.records(stopped) if one["kind"] == "validation"]
    assert validated == [4, 8, 12, 16, 20]
    assert {"kind": "resumed", "step": 8} in log.records(stopped)
    assert losses(stopped) == losses(whole)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:  # nothing is left to do
        classify.main([*words(texts, stopped, more), "--resume"])
    assert end.value.code == 0
    assert "is finished" in capsys.readouterr().out


@pytest.fixture
def stopped(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that stopped at step 3."""
    with monkeypatch.context() as patch:
        at_step(patch, 3, signal.SIGTERM)
        with pytest.raises(SystemExit):
            classify.main(words(texts, tmp_path / "run"))
    return tmp_path / "run"


def test_a_state_of_another_run_is_refused(texts: Path, pairs: Path, stopped: Path) -> None:
    with pytest.raises(SystemExit, match=r"is of a run with --hidden 32, this one has 64"):
        classify.main([*words(texts, stopped), "--hidden", "64", "--resume"])
    with pytest.raises(SystemExit, match=r"is of a run with --mixer fourier, this one has dct"):
        classify.main([*words(texts, stopped), "--mixer", "dct", "--resume"])
    with pytest.raises(SystemExit, match=r"has a run: add --resume"):
        classify.main(words(texts, stopped))
    before = losses(stopped)
    (stopped / "state.pt").write_bytes(b"no state")
    with pytest.raises(SystemExit, match=r"state\.pt is not a state of a run"):
        classify.main([*words(texts, stopped), "--resume"])
    assert losses(stopped) == before


def test_other_data_is_refused(stopped: Path, texts: Path) -> None:
    lines = (texts / "train.tsv").read_text()
    try:
        (texts / "train.tsv").write_text(lines.replace("amber", "azure"))
        with pytest.raises(SystemExit, match=r"is of a run on other data"):
            classify.main([*words(texts, stopped), "--resume"])
    finally:
        (texts / "train.tsv").write_text(lines)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: a write then fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_sentence(texts: Path, tmp_path: Path) -> None:
    message = r"^cannot write \S*/state\.pt: File too large$"
    with file_limit(50_000), pytest.raises(SystemExit, match=message):
        classify.main(words(texts, tmp_path / "run", "--steps 4 --save-every 2"))
    assert losses(tmp_path / "run")
    assert not list((tmp_path / "run").glob("state*"))  # no part of a state either


def test_a_model_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    model = FNetForSequenceClassification(FNetConfig.mini(vocab_size=1000))
    with (
        file_limit(50_000),
        pytest.raises(SystemExit, match=r"^cannot write \S*/model: .*File too large"),
        writing(tmp_path / "model"),
    ):
        model.save_pretrained(tmp_path / "model")


# What ends a run with a sentence


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--batch 400", r"--batch must be at most 200"),
        ("--heads 3 --mixer attention", r"num_attention_heads must divide hidden_size=32"),
        ("--mixer hadamard --seq 17", r"17"),
        ("--round-to 8", r"round_to must be None with padding='tokens'"),
        ("--device nowhere", r"--device must be a device of torch"),
        ("--from nothing", r"--from nothing: no config.json"),
        ("--lr 1e30 --warmup 0", r"the loss of step \d+ is nan; lower --lr"),
    ],
)
def test_what_cannot_run_is_named(texts: Path, tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        classify.main(words(texts, tmp_path / "run", f"--steps 20 {more}"))


def test_a_bad_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        classify.main(words(tmp_path / "nothing", tmp_path / "run"))
    assert "nothing" in str(end.value)
    assert "\n" not in str(end.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("config", r"--from \S*: \S*config.json: FNetConfig: hidden_size"),
        ("weights", r"--from \S*: .*has shape"),
        ("type", r"--from \S*: .*must have model_type 'fnet' or 'fnet_kernels'; got 'bert'"),
    ],
)
def test_a_checkpoint_of_another_model_is_named(
    texts: Path, tmp_path: Path, spoil: str, message: str
) -> None:
    folder = tmp_path / "model"
    FNetForSequenceClassification(FNetConfig.mini(vocab_size=100)).save_pretrained(folder)
    encode.save(encode.Bytes(), folder)
    config = json.loads((folder / "config.json").read_text())
    change = {"config": ("hidden_size", 0), "weights": ("vocab_size", 101)}
    name, value = change.get(spoil, ("model_type", "bert"))
    (folder / "config.json").write_text(json.dumps({**config, name: value}))
    with pytest.raises(SystemExit, match=message):
        classify.main(["--data", str(texts), "--from", str(folder), "--out", str(tmp_path / "run")])


# Several processes


def test_two_processes_are_one_of_twice_the_batch(texts: Path, tmp_path: Path) -> None:
    """Mean pooling and words; dropout differs between processes, so none."""
    more = "--steps 20 --dropout 0 --padding exact"
    torchrun = "-m torch.distributed.run --nproc-per-node 2 --standalone -m examples.classify"
    two, one = tmp_path / "two", tmp_path / "one"
    command = [sys.executable, *torchrun.split(), *words(texts, two, more), "--batch", "8"]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert child.returncode == 0, child.stderr
    found = classify.main(words(texts, one, more))
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    last = log.records(two)[-1]
    assert last["accuracy"] == found["accuracy"]
    assert last["loss"] == pytest.approx(found["loss"], rel=1e-5)
    assert log.records(two)[0]["processes"] == 2


# Compiled


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
