"""`python -m bench lengths`: every length has a row, the table and the plot name the algorithms."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import lengths as command
from bench.measure.timing import needed
from bench.report import lengths as report

pytestmark = pytest.mark.usefixtures("one_thread")


def row(seq: int, ours: float, rival: float) -> command.LengthRow:
    return command.LengthRow(seq, 4, ours, (ours, ours), "fold", rival, 2 * rival)


def test_every_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--lengths", "15:19", "--hidden", "8", "--seconds", "0", "--out", str(tmp_path)]
    assert command.main(words) == 0
    (written,) = tmp_path.glob("*-lengths.json")
    rows = json.loads(written.read_text())["rows"]
    assert [r["seq"] for r in rows] == [15, 16, 17, 18, 19]
    for r in rows:
        assert r["rival"] in command.EAGER
        assert 0 < r["ours_quartiles"][0] <= r["ours"] <= r["ours_quartiles"][1]
        assert 0 < r["rival_time"] <= r["formula"]
    text = capsys.readouterr().out
    assert "17 (Rader: 16)" in text
    (plot,) = tmp_path.glob("*-lengths.png")
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_table_compares_with_the_nearest_smooth_length() -> None:
    rows = [row(16, 1.0, 4.0), row(17, 1.5, 4.5), row(719, 3.0, 3.0)]
    kinds = {line.split()[0]: line.split() for line in report.length_tables(rows).splitlines()[2:5]}
    assert kinds["radices"][1:] == ["1", "1.00", "1.00", "8.00", "4.00"]
    assert kinds["Rader"][1:] == ["1", "1.50", "1.50", "6.00", "3.00"]
    assert kinds["Bluestein"][1:] == ["1", "3.00", "3.00", "2.00", "1.00"]
    least = report.length_tables([*rows, replace(rows[0], rival_time=0.5)]).splitlines()
    assert [line.split()[0] for line in least[-4:]] == ["4x16", "4x719", "4x17", "4x16"]


@pytest.mark.parametrize("span", ["0:5", "7", "9:3", "a:b", "1:9999999999"])
def test_a_span_that_is_none(span: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--lengths", span])
    assert "expected first:last" in capsys.readouterr().err


def test_the_command_is_found_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "lengths", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_module("bench", run_name="__main__")
    assert "python -m bench lengths" in capsys.readouterr().out


def stopping(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, out: Path
) -> tuple[int, dict[str, Any]]:
    """The status and file of the lengths 15 to 17, the last of which raises `error`."""
    measure = command.length_row

    def picky(seq: int, *rest: Any) -> command.LengthRow:
        if seq == 17:
            raise error
        return measure(seq, *rest)

    monkeypatch.setattr(command, "length_row", picky)
    words = ["--lengths", "15:17", "--hidden", "8", "--seconds", "0", "--out", str(out)]
    status = command.main(words)
    (written,) = out.glob("*-lengths.json*")
    assert written.suffix == (".json" if status == 0 else ".interrupted"), "no whole one is lost"
    content: dict[str, Any] = json.loads(written.read_text())
    assert [r["seq"] for r in content["rows"]] == [15, 16]
    return status, content


def test_a_length_that_does_not_fit_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, content = stopping(monkeypatch, RuntimeError("no memory"), tmp_path)
    assert status == 0
    assert content["absent"] == {"length 17": "no memory"}
    assert "absent: length 17: no memory\n" in capsys.readouterr().out


def test_ctrl_c_saves_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stopping(monkeypatch, KeyboardInterrupt(), tmp_path)[0] == 130


def test_lengths_without_any_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--lengths", "999999999:999999999", "--hidden", "999999999", "--out", str(tmp_path)]
    assert command.main(words) == 1
    assert "absent: length 999999999: " in capsys.readouterr().out


def test_a_needed_contestant_is_missed_by_name() -> None:
    with pytest.raises(RuntimeError, match="fftn: no memory"):
        needed(("fold", "fftn"), {"fftn": "no memory", "two ffts": "none"})
    needed(("fold", "fftn"), {"two ffts": "none"})
