"""Runs that stop and are resumed."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from examples import classify, pretrain
from examples.training import encode, log, loop, state
from examples.training.classification import Classification
from examples.training.schedule import Budget
from python_tests.helpers.classify_runs import losses, words
from python_tests.helpers.forks import Forks

pytestmark = pytest.mark.usefixtures("threads_restored")


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
from importlib import import_module
from examples.training import log

write = log.Log.write
def and_kill(self, kind, **values):
    write(self, kind, **values)
    if kind == "step" and values["step"] == 37:
        os.kill(os.getpid(), 9)
log.Log.write = and_kill
import_module(sys.argv[1]).main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("program", "units"), [(classify, "words"), (classify, "unigram"), (pretrain, "words")]
)
def test_a_killed_run_resumes_to_the_bit(
    forks: Forks, texts: Path, tmp_path: Path, program: Any, units: str
) -> None:
    """`tokenizers` learns another unigram model in every process, so a resumed run reads it."""
    if units == "unigram":
        pytest.importorskip("tokenizers")
    more = f"--steps 50 --save-every 10 --evaluate-every 15 --units {units} --vocabulary 40"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = program.main(words(texts, whole, more))
    if units == "unigram":  # learned once, for both
        killed.mkdir()
        shutil.copy(whole / encode.FILE, killed)
        more += " --resume"
    child = forks.run(KILLED, program.__name__, *words(texts, killed, more))
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert len(losses(killed)) == 37
    learned = (killed / encode.FILE).read_bytes()
    found = program.main([*words(texts, killed, more), "--resume"])
    assert (killed / encode.FILE).read_bytes() == learned
    assert {"kind": "resumed", "step": 30} in log.records(killed)
    assert losses(killed) == losses(whole)
    assert len(set(losses(whole))) == 50
    assert found == expected
    ours, theirs = (
        [one for one in log.records(x) if one["kind"] == "step"] for x in (killed, whole)
    )
    assert [one["tokens"] for one in ours] == [one["tokens"] for one in theirs]
    seconds = [one["seconds"] for one in ours]
    assert seconds == sorted(seconds), "those before the kill count"
    weights = [(x / "model" / "model.safetensors").read_bytes() for x in (killed, whole)]
    assert weights[0] == weights[1]


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
    with pytest.raises(SystemExit, match=r"state\.pt is damaged, or is not the state of a run"):
        classify.main([*words(texts, stopped), "--resume"])
    assert losses(stopped) == before


def test_a_finished_run_of_other_flags_is_refused(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classify.main(words(texts, tmp_path, "--steps 2"))
    with pytest.raises(SystemExit, match=r"is of a run with --seed 0, this one has 3"):
        classify.main(words(texts, tmp_path, "--steps 2 --seed 3 --resume"))
    with pytest.raises(SystemExit) as end:
        classify.main(words(texts, tmp_path, "--steps 2 --log-every 7 --resume"))
    assert end.value.code == 0
    assert "is finished" in capsys.readouterr().out


def test_other_data_is_refused(stopped: Path, texts: Path) -> None:
    lines = (texts / "train.tsv").read_text()
    try:
        (texts / "train.tsv").write_text(lines.replace("amber", "azure"))
        with pytest.raises(SystemExit, match=r"of a run on data of SHA-256 \w{12}, not on data of"):
            classify.main([*words(texts, stopped), "--resume"])
    finally:
        (texts / "train.tsv").write_text(lines)
    classify.main([*words(texts, stopped), "--resume"])


@pytest.mark.parametrize("units", ["words", "unigram"])
def test_a_refused_resume_leaves_the_run_whole(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: str
) -> None:
    """Another encoder in the folder would be the end of a run: none can be learned twice."""
    if units == "unigram":
        pytest.importorskip("tokenizers")
    more = f"--units {units} --vocabulary 40"
    with monkeypatch.context() as patch:
        at_step(patch, 3, signal.SIGTERM)
        with pytest.raises(SystemExit):
            classify.main(words(texts, tmp_path, more))
    kept = (tmp_path / encode.FILE).read_bytes()
    for other in ("--vocabulary 39", "--units bytes", "--fold 1"):
        with pytest.raises(SystemExit, match=r"is of a run with --\w+ \S+, this one has"):
            classify.main([*words(texts, tmp_path, f"{more} {other}"), "--resume"])
        assert (tmp_path / encode.FILE).read_bytes() == kept
    (tmp_path / log.FILE).unlink()  # what knows the flags before the data is read
    with pytest.raises(SystemExit, match=r"encoder\.json is of a run with --vocabulary 40, not w"):
        classify.main([*words(texts, tmp_path, f"{more} --vocabulary 39"), "--resume"])
    assert (tmp_path / encode.FILE).read_bytes() == kept
    classify.main([*words(texts, tmp_path, more), "--resume"])
    kinds = [one["kind"] for one in log.records(tmp_path)]
    assert kinds[:2] == ["header", "resumed"], "a log that was removed begins again"
    assert kinds[-1] == "test"


def test_what_a_killed_run_left_is_removed(texts: Path, stopped: Path) -> None:
    part = stopped / f"state.pt.{32 * 'a'}.part"
    part.write_bytes(b"half a state")
    own = stopped / "my.part"
    own.write_text("not of a run")
    classify.main([*words(texts, stopped), "--resume"])
    assert not part.exists()
    assert own.exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("processes", 2, r"is of a run of 2 processes, not of 1 processes: give the same"),
        ("program", "lra text", r"is of a run of lra text, not of classify"),
        ("vocabulary", 64 * "0", r"is of a run with a vocabulary of SHA-256 000000000000, not "),
    ],
)
def test_a_state_of_another_origin_is_refused(
    texts: Path, stopped: Path, name: str, value: Any, message: str
) -> None:
    content = torch.load(stopped / state.FILE, weights_only=True)
    content["origin"][name] = value
    torch.save(content, stopped / state.FILE)
    with pytest.raises(SystemExit, match=message):
        classify.main([*words(texts, stopped), "--resume"])


def test_a_state_of_another_model_is_one_sentence(texts: Path, stopped: Path) -> None:
    content = torch.load(stopped / state.FILE, weights_only=True)
    content["model"].popitem()
    torch.save(content, stopped / state.FILE)
    with pytest.raises(SystemExit, match=r"^\S*state\.pt is of another model: [^\n]*$"):
        classify.main([*words(texts, stopped), "--resume"])


@pytest.mark.parametrize("budget", ["--minutes 1", "--steps 20"])
def test_seconds_count_on_one_clock(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str
) -> None:
    """One thread counts the time of the processor, two count that on the wall."""
    with monkeypatch.context() as patch:
        at_step(patch, 3, signal.SIGTERM)
        with pytest.raises(SystemExit, match="stopped"):
            classify.main(words(texts, tmp_path / "run", budget))
    message = (
        r"is of a run with processor time, not with wall time: give --threads and --device as"
        r" before, or another --out$"
    )
    with pytest.raises(SystemExit, match=message):
        classify.main([*words(texts, tmp_path / "run", budget), "--resume", "--threads=2"])


@pytest.mark.parametrize("known", [{}, {"clock": None}])
def test_a_state_of_an_unknown_clock_is_resumed(
    texts: Path, stopped: Path, known: dict[str, None]
) -> None:
    """Older ones knew it with --minutes alone."""
    content = torch.load(stopped / state.FILE, weights_only=True)
    del content["origin"]["clock"]
    content["origin"].update(known)
    torch.save(content, stopped / state.FILE)
    classify.main([*words(texts, stopped), "--resume"])
    assert log.finished(stopped)


def test_no_step_has_rate_0(texts: Path, tmp_path: Path) -> None:
    classify.main(words(texts, tmp_path, "--minutes 0.01"))
    rates = [one["lr"] for one in log.records(tmp_path) if one["kind"] == "step"]
    assert min(rates) > 0


def test_a_rate_is_that_of_the_middle_of_a_step() -> None:
    minute = Budget(None, 60.0)
    assert loop._middle(minute, 0, 0.0) > 0
    assert loop._middle(minute, 5, 0.1) == pytest.approx(0.11)
    assert loop._middle(minute, 5, 0.99) == pytest.approx(0.995)  # the rest is all that it gets
    assert loop._middle(Budget(10, None), 3, 0.3) == pytest.approx(0.35)


def not_finite_from(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """From a step on, the loss is NaN, and with it the weights."""
    loss = Classification.loss

    def spoilt(self: Classification, model: Any, at: int) -> Any:
        value, tokens = loss(self, model, at)
        return value * (float("nan") if at >= step else 1.0), tokens

    monkeypatch.setattr(Classification, "loss", spoilt)


@pytest.mark.parametrize(("steps", "end"), [(20, 10), (8, 8)])
def test_a_loss_that_is_nan_between_two_lines_of_the_log(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, end: int
) -> None:
    """No state and no test follow; the last good state stays."""
    not_finite_from(monkeypatch, 7)
    more = f"--steps {steps} --save-every 5 --log-every 50 --evaluate-every 50"
    with pytest.raises(SystemExit, match=f"the loss of step {end} is nan; lower --lr"):
        classify.main([*words(texts, tmp_path), *more.split(), "--log-every", "50"])
    content = torch.load(tmp_path / state.FILE, weights_only=True)
    assert content["step"] == 5
    assert all(torch.isfinite(values).all() for values in content["model"].values())
    assert {one["kind"] for one in log.records(tmp_path)} == {"header"}


def test_a_gradient_that_is_not_finite_is_not_saved(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *args: clip(*args) * float("inf"))
    with pytest.raises(SystemExit, match=r"the gradient of step 2 is inf; lower --lr"):
        classify.main([*words(texts, tmp_path, "--steps 2"), "--log-every", "50"])
    assert not (tmp_path / state.FILE).exists()


def test_ctrl_c_in_the_test_repeats_it(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = classify.main(words(texts, tmp_path / "whole"))
    evaluate = Classification.evaluate

    def interrupted(self: Classification, model: Any, split: str) -> dict[str, float]:
        if split == "test":
            raise KeyboardInterrupt
        return evaluate(self, model, split)

    with monkeypatch.context() as patch:
        patch.setattr(Classification, "evaluate", interrupted)
        with pytest.raises(SystemExit, match=r"classify: stopped; --resume goes on from the last"):
            classify.main(words(texts, tmp_path / "run"))
    assert classify.main([*words(texts, tmp_path / "run"), "--resume"]) == expected


def test_ctrl_c_in_the_last_validation_leaves_the_test(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = classify.main(words(texts, tmp_path / "whole", "--steps 4"))
    evaluate, evaluated = Classification.evaluate, []

    def noted(self: Classification, model: Any, split: str) -> dict[str, float]:
        evaluated.append(split)
        if split == "validation":
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self, model, split)

    monkeypatch.setattr(Classification, "evaluate", noted)
    with pytest.raises(SystemExit, match=r"stopped; step 4 is saved in .*: --resume goes on"):
        classify.main(words(texts, tmp_path / "run", "--steps 4"))
    assert classify.main([*words(texts, tmp_path / "run", "--steps 4"), "--resume"]) == expected
    assert evaluated == ["validation", "test"]
