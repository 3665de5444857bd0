"""What ends a run of classify with one sentence."""

from __future__ import annotations

import errno
import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from examples import classify
from examples.training import encode, log, loop, state
from examples.training.failures import lock, replacing, writing
from examples.training.options import parse
from fnet_kernels.models import FNetConfig, FNetForSequenceClassification
from python_tests.helpers.classify_runs import losses, words
from python_tests.helpers.full_disk import file_limit

pytestmark = pytest.mark.usefixtures("threads_restored")


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


def test_two_writers_of_one_file_leave_one_of_the_two(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as slow:
        slow.write(b"slow")
        with replacing(path) as quick:
            quick.write(b"quick")
        assert path.read_bytes() == b"quick"
    assert path.read_bytes() == b"slow"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_lasts_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    with lock(path), pytest.raises(BlockingIOError):
        lock(path)
    lock(path, wait=True).close()


def test_a_file_system_without_locks_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with lock(tmp_path / "lock"), lock(tmp_path / "lock"):
        pass


def test_one_run_at_a_time_writes_a_folder(texts: Path, tmp_path: Path) -> None:
    more = words(texts, tmp_path, "--steps 1")
    with lock(tmp_path / loop.LOCK):
        for resume in ([], ["--resume"]):
            with pytest.raises(SystemExit, match=rf"^another process runs in {tmp_path}: wait"):
                classify.main([*more, *resume])
    assert not losses(tmp_path)
    classify.main(more)
    assert len(losses(tmp_path)) == 1


def test_a_run_holds_its_folder_until_it_ends(texts: Path, tmp_path: Path) -> None:
    options, _ = parse(classify.ClassifyOptions, "", words(texts, tmp_path))
    with loop.start("classify", options), pytest.raises(BlockingIOError):
        lock(tmp_path / loop.LOCK)
    lock(tmp_path / loop.LOCK).close()
    with pytest.raises(SystemExit, match="--batch"):
        classify.main(words(texts, tmp_path, "--batch 400"))
    lock(tmp_path / loop.LOCK).close()


def test_the_first_process_holds_the_folder_for_all(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")  # of torchrun
    options, _ = parse(classify.ClassifyOptions, "", words(texts, tmp_path))
    with lock(tmp_path / loop.LOCK), loop.start("classify", options):
        pass


def test_a_damaged_log_is_one_sentence(texts: Path, tmp_path: Path) -> None:
    (tmp_path / log.FILE).write_text("garbage\n")
    for more in ("", "--resume"):
        with pytest.raises(SystemExit, match=r"line 1: expected a record of a run; move the"):
            classify.main(words(texts, tmp_path, f"--steps 1 {more}"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--batch 400", r"--batch must be at most 200"),
        ("--heads 3 --mixer attention", r"num_attention_heads must divide hidden_size=32"),
        ("--mixer hadamard --seq 17", r"17"),
        ("--round-to 8", r"round_to must be None with padding='tokens'"),
        ("--device nowhere", r"--device must be cpu, cuda or cuda:N"),
        ("--from nothing", r"--from nothing: no config.json"),
        ("--mixer circulant --padding exact", r"--mixer circulant takes .* give --round-to 16"),
        ("--mixer hadamard --padding exact", r"--mixer hadamard takes .* give --round-to 16"),
        ("--mixer dct --padding exact --compile", r"--compile with --padding exact .* not for dct"),
        ("--lr 1e30 --warmup 0", r"the loss of step \d+ is nan; lower --lr"),
        ("--seq 2", r"--seq must be at least 3, with \[CLS\] and \[SEP\]; got 2"),
        ("--vocabulary 3", r"--vocabulary 3: expected more than the 5 special tokens"),
    ],
)
def test_what_cannot_run_is_named(texts: Path, tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        classify.main(words(texts, tmp_path / "run", f"--steps 20 {more}"))


def test_a_vocabulary_too_small_for_the_letters(texts: Path, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    with pytest.raises(SystemExit, match=r"^--vocabulary 6: The vocabulary is not large enough"):
        classify.main(words(texts, tmp_path, "--units unigram --vocabulary 6"))


def test_texts_without_a_word_that_comes_twice() -> None:
    with pytest.raises(ValueError, match="no word that occurs twice"):
        encode.learn("words", ["one two", "three four"], 100)


def test_a_log_that_cannot_be_rewritten_stays(tmp_path: Path) -> None:
    written = log.Log(tmp_path, resume=False)
    written.write("header", options={})
    for step in range(1000):
        written.write("step", step=step, loss=0.5)
    before = (tmp_path / log.FILE).read_bytes()
    with file_limit(len(before) // 2), pytest.raises(SystemExit, match="cannot write"):
        log.Log(tmp_path, resume=True)
    assert (tmp_path / log.FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [log.FILE]


def test_a_start_that_failed_does_not_keep_its_folder(texts: Path, tmp_path: Path) -> None:
    log.Log(tmp_path, resume=False).write("header", options={})
    classify.main(words(texts, tmp_path, "--steps 2"))
    assert len(losses(tmp_path)) == 2


def test_a_state_is_a_run_before_the_log_has_a_step(texts: Path, tmp_path: Path) -> None:
    log.Log(tmp_path, resume=False).write("header", options={})
    (tmp_path / state.FILE).write_bytes(b"of many hours")
    with pytest.raises(SystemExit, match=r"has a run: add --resume to go on with it, or change"):
        classify.main(words(texts, tmp_path, "--steps 2 --save-every 1"))
    assert (tmp_path / state.FILE).read_bytes() == b"of many hours"


def test_units_are_those_of_the_pretraining(texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    FNetForSequenceClassification(FNetConfig.mini(vocab_size=261)).save_pretrained(folder)
    encode.save(encode.Bytes(), folder)
    given = ["--data", str(texts), "--from", str(folder), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match=r"--units must be bytes, as in the run of --from.*words"):
        classify.main([*given, "--units", "words"])
    classify.main([*given, "--steps", "1", "--threads", "1"])
    assert log.records(tmp_path / "run")[0]["options"]["units"] == "bytes"


def test_a_bad_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        classify.main(words(tmp_path / "nothing", tmp_path / "run"))
    assert "nothing" in str(end.value)
    assert "\n" not in str(end.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no JSON", r"encoder\.json is not an encoder: "),
        ("[]", r"encoder\.json is not an encoder: "),
        (
            json.dumps({"units": "words", "words": list(map(str, range(200)))}),
            r"--from \S*: encoder\.json has 205 tokens, the model 100",
        ),
    ],
)
def test_an_encoder_that_does_not_fit_is_named(
    texts: Path, tmp_path: Path, content: str, message: str
) -> None:
    folder = tmp_path / "model"
    FNetForSequenceClassification(FNetConfig.mini(vocab_size=100)).save_pretrained(folder)
    (folder / encode.FILE).write_text(content)
    with pytest.raises(SystemExit, match=message):
        classify.main(["--data", str(texts), "--from", str(folder), "--out", str(tmp_path / "run")])


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


def test_another_program_does_not_take_over_a_run(texts: Path, tmp_path: Path) -> None:
    written = log.Log(tmp_path, resume=False)
    written.write("header", program="finetune_trainer", options={})
    written.write("step", step=1, loss=0.5)
    before = (tmp_path / log.FILE).read_bytes()
    with pytest.raises(SystemExit, match=r"is of a run .*finetune_trainer, not .*classify"):
        classify.main(words(texts, tmp_path, "--steps 2 --resume"))
    assert (tmp_path / log.FILE).read_bytes() == before


def test_a_shorter_length_for_a_mixer_of_one_length(texts: Path, tmp_path: Path) -> None:
    classify.main(words(texts, tmp_path / "one", "--steps 1 --mixer circulant"))
    again = ["--data", str(texts), "--from", str(tmp_path / "one"), "--out", str(tmp_path / "two")]
    with pytest.raises(SystemExit, match=r"--seq must be 16, .* circulant mixer .* got 8"):
        classify.main([*again, "--seq", "8"])
