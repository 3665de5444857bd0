"""`make wheel-check`: a wheel that pip refuses is broken, a torch that is not to be had is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import wheel_check

DOCTOR = "fnet_kernels 1.0\ntorch 2.13.0\nall checks passed"


def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *pairs: str, fails: str = "nothing"
) -> int:
    """The exit status where the command with the word `fails` does not succeed."""

    def output_of(*command: str | Path, cwd: Path | None = None) -> tuple[int, str]:
        words = [str(word) for word in command]
        if any(word.endswith(fails) for word in words):
            return 1, f"ERROR: {fails} is not supported"
        if "venv" in words:
            Path(words[-1]).mkdir()
        return 0, DOCTOR

    monkeypatch.setattr(wheel_check, "FOLDER", tmp_path)
    monkeypatch.setattr(wheel_check, "output_of", output_of)
    monkeypatch.setattr(wheel_check, "find_python", lambda version: sys.executable)
    monkeypatch.setattr(sys, "argv", ["wheel_check", "fnet_kernels.whl", *pairs])
    return wheel_check.main()


@pytest.mark.parametrize(
    ("fails", "status", "said"),
    [
        ("nothing", 0, "torch 2.13.0: all checks passed"),
        ("fnet_kernels.whl", 1, "Python 3.12, torch 2.13.0: broken\nERROR: fnet_kernels.whl is"),
        ("doctor", 1, "Python 3.12, torch 2.13.0: broken\nERROR: doctor is"),
        ("torch==2.13.0", 1, "Python 3.12, torch 2.13.0: not run: ERROR: torch==2.13.0 is not"),
    ],
)
def test_what_fails_is_said(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fails: str,
    status: int,
    said: str,
) -> None:
    assert run(monkeypatch, tmp_path, "3.12:2.13.0", fails=fails) == status
    assert said in capsys.readouterr().out


def test_a_pair_that_cannot_run_hides_no_other_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run(monkeypatch, tmp_path, "3.12:2.13.0", "3.13:2.11.0", fails="torch==2.13.0") == 0


@pytest.mark.parametrize("word", ["other.whl", "3.12", "3.12:", "2.7:2.13.0"])
def test_a_word_that_is_no_pair(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    word: str,
) -> None:
    """Such as a second wheel in the folder."""
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, "3.12:2.13.0", word)
    assert "expected PYTHON:TORCH, as in 3.12:2.11.0" in capsys.readouterr().err
