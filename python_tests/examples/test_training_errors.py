"""What ends a run of classify with one sentence."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples import classify
from examples.training import encode, log
from examples.training.failures import writing
from fnet_kernels.models import FNetConfig, FNetForSequenceClassification
from python_tests.helpers.classify_runs import losses, words

pytestmark = pytest.mark.usefixtures("threads_restored")


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
        ("--device nowhere", r"--device must be a device of torch"),
        ("--from nothing", r"--from nothing: no config.json"),
        ("--mixer circulant --padding exact", r"--mixer circulant takes .* give --round-to 16"),
        ("--mixer hadamard --padding exact", r"--mixer hadamard takes .* give --round-to 16"),
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


def test_units_are_those_of_the_pretraining(texts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    FNetForSequenceClassification(FNetConfig.mini(vocab_size=261)).save_pretrained(folder)
    encode.save(encode.Bytes(), folder)
    given = ["--data", str(texts), "--from", str(folder), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match=r"--units must be bytes, as in the pre-training.*words"):
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
