"""Runs of classify that stop and are resumed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from examples import classify
from examples.training import log
from fnet_kernels.models import FNetForSequenceClassification
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


def test_a_killed_run_resumes_to_the_bit(forks: Forks, texts: Path, tmp_path: Path) -> None:
    more = "--steps 50 --save-every 10 --evaluate-every 15"
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = classify.main(words(texts, whole, more))
    child = forks.run(KILLED, *words(texts, killed, more))
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
        with pytest.raises(SystemExit, match=r"is of a run on other data"):
            classify.main([*words(texts, stopped), "--resume"])
    finally:
        (texts / "train.tsv").write_text(lines)
