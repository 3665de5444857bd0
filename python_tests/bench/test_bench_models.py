"""Whole models: every contestant and task is timed, and the command writes what it measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import models as command
from bench.contestants.models import CONTESTANTS, TASKS, Contestant
from bench.measure import machine, memory, models
from bench.report.model_table import model_table
from fnet_kernels._timing import Timing

TINY = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 32}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr(models, "SIZES", {"Base": TINY})


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("task", TASKS)
def test_every_model_is_timed_but_stock_fnet_in_bfloat16(task: str) -> None:
    rows, absent = models.compare("Base", task, 1, 8, "cpu", 0.0)
    found = {(row["model"], row["dtype"]): row for row in rows}
    refused = Contestant("FNet", torch.bfloat16)
    assert absent.keys() == {refused.name}
    assert len(found) == len(CONTESTANTS) - 1
    assert found["BERT", "float32"]["bert_over_this"] == 1
    assert found["FNet", "float32"]["stock_over_this"] == 1
    assert found["FNet patched", "bfloat16"]["task"] == task


def test_ratios_are_medians_of_rounds_in_the_same_dtype() -> None:
    times = {
        "BERT fp32": Timing((4.0, 8.0, 6.0)),
        "BERT bf16": Timing((3.0, 3.0, 3.0)),
        "FNet fp32": Timing((2.0, 2.0, 12.0)),
        "FNet patched bf16": Timing((1.0, 2.0, 3.0)),
    }
    rows = {(row["model"], row["dtype"]): row for row in models.rows_of(times)}
    assert rows["FNet patched", "bfloat16"]["stock_over_this"] == 2.0
    assert rows["FNet patched", "bfloat16"]["bert_over_this"] == 1.5
    assert rows["FNet", "float32"]["bert_over_this"] == 2.0
    alone = models.rows_of({"FNet patched fp32": Timing((1.0,))})
    assert alone[0]["stock_over_this"] is None


@pytest.mark.usefixtures("tiny")
def test_the_command_writes_rows_and_absences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "model_peak", lambda task, threads: 3 << 20)
    words = ["--shape", "1x8", "--seconds", "0", "--memory", "--out", str(tmp_path)]
    assert command.main(words) == 0
    (written,) = tmp_path.glob("*-models.json")
    content: dict[str, Any] = json.loads(written.read_text())
    assert {row["task"] for row in content["rows"]} == {"inference"}
    assert {row["peak_mib"] for row in content["rows"]} == {3}
    assert {(row["batch"], row["seq"]) for row in content["rows"]} == {(1, 8)}
    assert "FNet bf16" in content["absent"], "torch.fft has no bfloat16: the stock model refuses"
    assert "absent: FNet bf16" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny")
def test_rows_of_other_tasks_stay(tmp_path: Path) -> None:
    def rows(task: str) -> dict[str, list[dict[str, Any]]]:
        words = ["--shape", "1x8", "--seconds", "0", "--task", task, "--out", str(tmp_path)]
        assert command.main(words) == 0
        (written,) = tmp_path.glob("*-models.json")
        found: dict[str, list[dict[str, Any]]] = {}
        for row in json.loads(written.read_text())["rows"]:
            found.setdefault(row["task"], []).append(row)
        return found

    before, after = rows("both"), rows("inference")
    assert after["training step"] == before["training step"]
    assert len(after["inference"]) == len(before["inference"])
    assert after["inference"] != before["inference"]


@pytest.mark.usefixtures("tiny")
def test_what_cannot_run_is_said_and_forgotten_when_it_ran(tmp_path: Path) -> None:
    words = ["--shape", "1x8", "--seconds", "0", "--out", str(tmp_path)]
    assert command.main(words) == 0
    (written,) = tmp_path.glob("*-models.json")
    content = json.loads(written.read_text())
    content["absent"] |= {"BERT fp32": "no memory", "something else": "unknown"}
    written.write_text(json.dumps(content))
    assert command.main(words) == 0
    absent = json.loads(written.read_text())["absent"]
    assert "BERT fp32" not in absent
    assert absent["something else"] == "unknown"
    assert command.main(["--shape", "1x999999999", *words[2:]]) == 1, "nothing ran"


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("text", "said"),
    [("half {", "is not JSON"), ("{}", "has no 'absent'"), ('{"absent": {}, "rows": [{}]}', "ver")],
)
def test_results_that_are_none_are_not_replaced(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"{machine.slug()}-models.json"
    file.write_text(text)
    assert command.main(["--shape", "1x8", "--seconds", "0", "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert file.read_text() == text


@pytest.mark.parametrize("text", ["4", "4x", "0x512", "4x512x768", "-1x5"])
def test_a_shape_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main([f"--shape={text}"])
    assert "expected batch x tokens" in capsys.readouterr().err


def test_the_table_shows_the_papers_figures() -> None:
    row = {"model": "FNet patched", "size": "Base", "dtype": "float32", "task": "training step"}
    row |= {"median_ms": 10.0, "q1_ms": 9.0, "q3_ms": 11.0}
    row |= {"stock_over_this": 1.25, "bert_over_this": None}
    _, (line,) = model_table([row])
    assert line[:3] == ["FNet patched-Base", "float32", "training step"]
    assert line[5:7] == ["1.25x", ""]
    assert line[8:] == ["169", "128", "1.80x"]


@pytest.mark.usefixtures("tiny")
def test_peak_memory_is_measured_in_a_process_of_its_own() -> None:
    task = {"model": "FNet patched", "dtype": "bfloat16", "size": "Base", "task": "inference"}
    peak = memory.model_peak({**task, "batch": 1, "seq": 64}, 1)
    assert isinstance(peak, int), peak
    assert 64 * 768 * 2 < peak < 1 << 30


@pytest.mark.usefixtures("tiny")
def test_huge_pages_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "huge", lambda: True)
    words = ["--shape", "1x8", "--seconds", "0", "--out", str(tmp_path)]
    assert command.main(words) == 0
    (written,) = tmp_path.glob("*-models.json")
    assert json.loads(written.read_text())["machine"]["huge_pages"] is True
