"""Runs of pretrain, and what starts from its model: classify and the Trainer of transformers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from examples import classify, pretrain
from examples.corpora.dataset import Split
from examples.training import distributed, encode, log
from examples.training.options import parse
from examples.training.pieces import cut
from examples.training.pretraining import Pretraining, PretrainOptions
from fnet_kernels.models import FNetForPreTraining, FNetForSequenceClassification
from python_tests.helpers.small_texts import write_documents, write_texts

pytestmark = pytest.mark.usefixtures("threads_restored")
SMALL = [
    "--hidden",
    "32",
    "--intermediate",
    "64",
    "--batch",
    "16",
    "--threads",
    "1",
    "--log-every",
    "1",
    "--lr",
    "0.01",
]


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("data") / "documents")


@pytest.fixture(scope="module")
def pretrained(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = torch.get_num_threads()
    out = tmp_path_factory.mktemp("runs") / "pretrained"
    more = ["--seq", "32", "--steps", "40", "--padding", "exact", "--dropout", "0"]
    pretrain.main(["--data", str(documents), "--out", str(out), *SMALL, *more])
    torch.set_num_threads(before)
    return out


def test_both_losses_fall(pretrained: Path) -> None:
    records = log.records(pretrained)
    losses = [one["loss"] for one in records if one["kind"] == "step"]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    last, floors = records[-1], records[0]["floors"]
    # A sentence is three words and ".": 2.29 nats a token without regard to the others, but two
    # of its words are the word of the document.
    assert floors == {"masked_accuracy": pytest.approx(0.3), "next_accuracy": 0.5}
    assert last["masked_loss"] < 2.2
    assert records[0]["data"]["unknown"] == 0.0
    assert last["loss"] == pytest.approx(last["masked_loss"] + last["next_loss"])


@pytest.mark.parametrize("units", ["bytes", "unigram"])
def test_other_units(documents: Path, tmp_path: Path, units: str) -> None:
    if units == "unigram":
        pytest.importorskip("tokenizers")
    more = ["--units", units, "--seq", "64", "--steps", "20", "--vocabulary", "60"]
    pretrain.main(["--data", str(documents), "--out", str(tmp_path / "run"), *SMALL, *more])
    losses = [one["loss"] for one in log.records(tmp_path / "run") if one["kind"] == "step"]
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])


@pytest.fixture
def task(documents: Path) -> tuple[Pretraining, FNetForPreTraining]:
    """The task on all documents, and a model without dropout."""
    options, _ = parse(PretrainOptions, "", f"--data {documents} --seq 32 --dropout 0".split())
    texts = [line.split("\t")[0] for line in (documents / "train.tsv").read_text().splitlines()]
    encoder = encode.learn("words", texts, 100)
    config = pretrain.configuration(options, encoder.vocabulary, 2)
    splits = dict.fromkeys(("train", "validation"), cut(texts, encoder, 32))
    return Pretraining(config, options, splits, torch.device("cpu")), FNetForPreTraining(config)


def test_the_loss_is_that_of_the_model(task: tuple[Pretraining, FNetForPreTraining]) -> None:
    """The sum over masked tokens, which several processes share, is the mean of one process."""
    trained, model = task
    rows = trained._firsts["train"][trained._sampler.rows(3)]
    example, _ = trained._examples("train", rows, (0, 1, 3))
    batch = example.batch
    expected = model(
        batch.ids,
        token_type_ids=batch.types,
        attention_mask=batch.mask,
        masked_positions=example.positions,
        labels=example.words.view_as(example.positions),
        next_sentence_label=batch.labels,
    ).loss
    loss, tokens = trained.loss(model, 3)
    torch.testing.assert_close(loss, expected)
    assert tokens == int(batch.mask.sum())


def test_the_mean_of_two_processes_is_one(
    task: tuple[Pretraining, FNetForPreTraining], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their numbers of masked tokens differ."""
    trained, model = task
    whole, tokens = trained.loss(model, 0)
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    halves = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        loss, same = trained.loss(model, 0)
        assert same == tokens
        halves.append(loss)
    torch.testing.assert_close((halves[0] + halves[1]) / 2, whole)
    assert abs(((halves[0] - halves[1]) / whole).item()) > 1e-3


def test_classify_starts_from_a_pretrained_model(
    documents: Path, pretrained: Path, tmp_path: Path
) -> None:
    words = ["--data", str(documents), "--from", str(pretrained), "--batch", "16", "--threads", "1"]
    classify.main([*words, "--out", str(tmp_path / "run"), "--steps", "1", "--lr", "0"])
    header = log.records(tmp_path / "run")[0]
    assert header["options"]["hidden"] == 32
    assert header["options"]["padding"] == "exact"
    assert header["options"]["seq"] == 32
    before = FNetForPreTraining.from_pretrained(pretrained / "model").fnet
    after = FNetForSequenceClassification.from_pretrained(tmp_path / "run" / "model").fnet
    for a, b in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(a, b)
    for more, message in (
        (["--hidden", "64"], "--hidden must be 32, as in the pre-trained model, or left out"),
        (["--seq", "64"], "--seq must be at most 32"),
        (["--vocabulary", "9"], "--vocabulary must be at least .*, or left out"),
        (["--units", "bytes"], "--units must be .*, as in the run of --from, or left out"),
    ):
        with pytest.raises(SystemExit, match=message):
            classify.main([*words, "--out", str(tmp_path / "other"), *more])


def test_a_head_begins_anew(texts: Path, tmp_path: Path) -> None:
    """That of the run it starts from may be of another task, as here with as many classes."""
    words = [*SMALL, "--data", str(texts), "--batch", "16", "--seq", "16"]
    classify.main([*words, "--out", str(tmp_path / "first"), "--steps", "5"])
    start = ["--from", str(tmp_path / "first"), "--data", str(texts), "--steps", "1", "--lr", "0"]
    classify.main([*start, "--out", str(tmp_path / "second")])
    first, second = (
        FNetForSequenceClassification.from_pretrained(tmp_path / name / "model")
        for name in ("first", "second")
    )
    assert not torch.equal(first.classifier.weight, second.classifier.weight)
    for a, b in zip(first.fnet.parameters(), second.fnet.parameters(), strict=True):
        assert torch.equal(a, b)


def test_texts_without_classes_are_for_pretraining(tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    for i in range(30):
        (folder / f"{i}.txt").write_text(f"the number {i} is {i % 7} and more words. " * 9)
    words = [*SMALL, "--data", str(folder), "--batch", "4", "--seq", "16", "--steps", "2"]
    assert "masked_accuracy" in pretrain.main([*words, "--out", str(tmp_path / "pretrained")])
    with pytest.raises(SystemExit, match="--data must have texts of two classes or more"):
        classify.main([*words, "--out", str(tmp_path / "run")])


@pytest.mark.parametrize("more", ["", "--padding exact --pooling mean"])
def test_the_trainer_of_transformers(
    tmp_path: Path, more: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from examples import finetune_trainer

    data = write_texts(tmp_path / "data")
    small = [*SMALL, "--seq", "16", "--device", "cpu", "--log-every", "5", *more.split()]
    words = ["--data", str(data), "--out", str(tmp_path / "run"), "--steps", "20", *small]
    again = [*words, "--save-every", "15", "--resume"]
    found = finetune_trainer.main(again)  # nothing to resume
    said = capsys.readouterr().out
    assert found.keys() == {"loss", "accuracy"}
    assert ("patched 2 FNet layers" in said) == (not more)
    assert "20  validation loss" in said
    run = tmp_path / "run"
    losses = [one["loss"] for one in log.records(run) if one["kind"] == "step"]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert (run / "curves.png").exists()
    assert log.finished(run) == {"kind": "test", "step": 20, **found}
    with pytest.raises(SystemExit) as end:
        finetune_trainer.main(again)
    assert end.value.code == 0, "nothing is left to do"
    with pytest.raises(SystemExit, match=r"is of a run with --seed 0, this one has 7"):
        finetune_trainer.main([*again, "--seed", "7"])
    with pytest.raises(SystemExit, match=r"has a run: add --resume"):
        finetune_trainer.main(words)

    # Killed while it wrote the last checkpoint.
    (run / "checkpoint-20" / "trainer_state.json").write_text('{"global_step": 2')
    lines = (run / "log.jsonl").read_text().splitlines(keepends=True)
    (run / "log.jsonl").write_text("".join(lines[:-1]))
    assert finetune_trainer.main(again) == pytest.approx(found)
    assert [one["step"] for one in log.records(run) if one["kind"] == "resumed"] == [15]
    assert [one["loss"] for one in log.records(run) if one["kind"] == "step"] == losses
    with pytest.raises(SystemExit, match="--minutes: the Trainer counts"):
        finetune_trainer.main(["--data", str(data), "--minutes", "1"])


def test_ctrl_c_in_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from examples import finetune_trainer

    data = write_texts(tmp_path / "data")
    small = [*SMALL, "--seq", "16", "--device", "cpu", "--log-every", "1", "--steps", "12"]
    words = ["--data", str(data), *small]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    expected = finetune_trainer.main([*words, "--out", str(whole)])
    write = log.Log.write

    def and_signal(self: log.Log, kind: str, **values: Any) -> None:
        write(self, kind, **values)
        if kind == "step" and values["step"] == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(log.Log, "write", and_signal)
        with pytest.raises(SystemExit, match=r"stopped; step 6 is saved in .*: --resume goes on"):
            finetune_trainer.main([*words, "--out", str(stopped)])
    assert finetune_trainer.main([*words, "--out", str(stopped), "--resume"]) == expected
    losses = [
        [one["loss"] for one in log.records(run) if one["kind"] == "step"]
        for run in (whole, stopped)
    ]
    assert len(losses[0]) == 12
    assert losses[0] == losses[1]


def test_a_checkpoint_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from examples import finetune_trainer

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")  # what torch.save raises

    monkeypatch.setattr(transformers.Trainer, "_save_checkpoint", full)
    data = write_texts(tmp_path / "data")
    words = ["--data", str(data), "--out", str(tmp_path / "run"), *SMALL, "--steps", "2"]
    with pytest.raises(SystemExit, match=r"^cannot write \S+run: basic_ios"):
        finetune_trainer.main([*words, "--seq", "16", "--device", "cpu", "--save-every", "1"])


def test_the_trainer_goes_on_from_a_pretrained_model(
    documents: Path, pretrained: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from examples import finetune_trainer

    words = ["--data", str(documents), "--from", str(pretrained), "--out", str(tmp_path / "run")]
    more = ["--steps", "1", "--lr", "0", "--batch", "8", "--threads", "1", "--device", "cpu"]
    finetune_trainer.main([*words, *more])
    before = FNetForPreTraining.from_pretrained(pretrained / "model").fnet
    after = FNetForSequenceClassification.from_pretrained(tmp_path / "run" / "model").fnet
    for a, b in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(a, b)


def test_ids_are_no_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ids:
        name, vocabulary = "pixels", 258

    monkeypatch.setattr(pretrain, "load", lambda data, fold: Ids())
    with pytest.raises(SystemExit, match="--data must be a data set of texts, pixels has ids"):
        pretrain.main(["--data", "pixels", "--out", str(tmp_path / "run")])


def test_a_diverged_run_of_the_trainer_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from examples import finetune_trainer

    data = write_texts(tmp_path / "data")
    few = ["--seq", "16", "--device", "cpu", "--steps", "12", "--warmup", "0", "--lr", "1e30"]
    with pytest.raises(SystemExit, match=r"the \w+ of step \d+ is nan; lower --lr"):
        finetune_trainer.main(["--data", str(data), "--out", str(tmp_path / "run"), *SMALL, *few])


def test_both_texts_of_a_pair_are_documents() -> None:
    pairs = Split(["one", "two"], [0, 1], ["three", "one"])
    assert pretrain._documents(pairs) == ["one", "two", "three"]
    assert pretrain._documents(Split(["one", "one"], [0, 1])) == ["one", "one"]
