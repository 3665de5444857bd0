"""`python -m bench mixers`: every mixer is timed, or absent with its reason."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import mixers as command
from bench.contestants import mixers as contestants
from bench.contestants.mixers import MIXERS, parameters
from bench.contestants.setting import Absent, Setting
from bench.measure import memory
from bench.measure.study import Row
from bench.mixer_figures import mixer_section
from bench.report import mixers as report
from fnet_kernels.mixers import create_mixer, list_mixers
from fnet_kernels.mixers.filter import KINDS

pytestmark = pytest.mark.usefixtures("one_thread")

OURS = set(list_mixers())  # other tests register more
QUICK = ["--seconds", "0", "--rounds", "1"]


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def peaks(shape: Any, dtype: str, direction: str, names: list[str], threads: int) -> Any:
        return dict.fromkeys(names, 3 << 20)

    monkeypatch.setattr(memory, "peaks", peaks)


def content(out: Path) -> Any:
    (written,) = out.glob("*-mixers.json")
    return json.loads(written.read_text())


@pytest.mark.usefixtures("no_child")
def test_every_mixer_and_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--shapes", "2x16x8,1x32x8", *QUICK, "--out", str(tmp_path)]
    assert command.main(words) == 0
    found = content(tmp_path)
    names = {contestant.name for contestant in MIXERS}
    assert {name.partition(",")[0] for name in names} == OURS
    for shape in ("2x16x8", "1x32x8"):
        for direction in ("forward", "both"):
            rows = [r for r in found["rows"] if (r["shape"], r["direction"]) == (shape, direction)]
            assert {row["contestant"] for row in rows} == names
            for row in rows:
                assert 0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"]
                assert row["over_ours"] > 0
                assert row["peak_mib"] == 3
    assert {row["over_ours"] for row in found["rows"] if row["contestant"] == "fourier"} == {1}
    assert found["machine"]["versions"]["torch"] == torch.__version__
    assert {entry["mixer"] for entry in found["mixers"]} == names
    (plot,) = tmp_path.glob("*-mixers.png")
    assert plot.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "2x16x8, inference" in said
    assert "1x32x8, training step" in said


@pytest.mark.usefixtures("no_child")
def test_a_mixer_that_takes_no_such_length_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = create_mixer

    def picky(name: str, hidden_size: int, seq_len: int, **rest: Any) -> Any:
        if name == "linear" and seq_len > 16:
            raise ValueError(f"linear: seq_len must be at most 16, got {seq_len}")
        return made(name, hidden_size, seq_len, **rest)

    monkeypatch.setattr("fnet_kernels.encoder_layer.create_mixer", picky)
    words = ["--mixers", "fourier,linear", "--task", "inference", "--out", str(tmp_path)]
    assert command.main([*words, "--shapes", "2x16x8,1x32x8", *QUICK]) == 0
    reason = "linear: seq_len must be at most 16, got 32"
    found = content(tmp_path)
    assert found["absent"] == [{"mixer": "linear", "reason": reason, "shapes": ["1x32x8"]}]
    ran = [(row["contestant"], row["seq"]) for row in found["rows"]]
    assert ran == [("fourier", 16), ("linear", 16), ("fourier", 32)]
    assert f"absent: linear: {reason} (1x32x8)" in capsys.readouterr().out


def test_parameters_that_do_not_fit_are_absent() -> None:
    linear = next(contestant for contestant in MIXERS if contestant.name == "linear")
    with pytest.raises(Absent, match=r"its parameters would take 16\.0 GiB"):
        linear.build(Setting((1, 1 << 16, 8)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fourier", 0),
        ("random", 0),
        ("linear", 16**2 + 8**2),
        ("circulant", 16 + 8),
        ("toeplitz", 31 + 15),
        ("filter, fourier", 9 * 8 * 2),
        ("filter, haar", 16 * 8),
        ("attention", 4 * (8**2 + 8)),
    ],
)
def test_parameters_are_those_of_the_mixer(name: str, expected: int) -> None:
    assert parameters(name, Setting((2, 16, 8))) == expected


def test_contestants_take_their_own_mixer() -> None:
    setting = Setting((2, 16, 8), torch.float64)
    x = torch.randn(setting.shape, dtype=setting.dtype)
    for contestant in MIXERS:
        made = contestant.build(setting)
        assert isinstance(made, contestants._Layer)
        assert torch.equal(made(x, x, x), made.layer(x))
    names = {c.name: c.build(setting).layer for c in MIXERS}
    assert type(names["circulant"].fourier.self).__name__ == "CirculantMix"
    assert names["filter, fourier"].fourier.self.basis == "fourier"
    assert names["attention"].attention.self.dropout == 0


def test_peak_memory_comes_from_a_child_process(tmp_path: Path) -> None:
    words = ["--mixers", "linear", "--task", "training", "--shapes", "2x256x64"]
    assert command.main([*words, *QUICK, "--out", str(tmp_path)]) == 0
    (row,) = content(tmp_path)["rows"]
    if sys.platform == "linux":
        assert 0.1 < row["peak_mib"] < 100


def test_the_table_marks_slow_mixers() -> None:
    size = ("2x16x8", 2, 16, 8, "float32", "forward")
    rows = [
        Row("mixer", *size, "fourier", "mixer", 3, True, 1.0, 2.0, 3.0, 1.0, 1.0, 1.0, None, None),
        Row("mixer", *size, "linear", "mixer", 3, False, 1.0, 5.0, 9.0, 2.5, 2.0, 3.0, None, 7.0),
    ]
    learned = [{"mixer": r.contestant, "shape": "2x16x8", "parameters": 1234} for r in rows]
    lines = [line.split() for line in report.mixer_tables(rows, learned).splitlines()]
    assert ["fourier", "2", "1", "to", "3", "1.00", "1,234"] in lines
    assert ["linear", "~5", "1", "to", "9", "2.50", "7", "1,234"] in lines


def test_bad_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--mixers", "fourier,fft"], "'fft': expected names of attention, circulant, "),
        (["--shapes", "8x512"], "expected batch x seq x hidden"),
    ):
        with pytest.raises(SystemExit):
            command.main(words)
        assert said in capsys.readouterr().err


def test_python_m_bench_mixers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "mixers", "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("bench", run_name="__main__")
    assert end.value.code == 0
    assert "the same encoder layer with every mixer" in capsys.readouterr().out


def test_the_documented_table_shows_the_record() -> None:
    row = {"q1_ms": 9.0, "q3_ms": 11.0, "median_ms": 10.4, "rounds": 3, "shape": "1x32x8"}
    row["in_rounds"] = True
    rows = [
        {**row, "contestant": "fourier", "direction": "forward"},
        {**row, "contestant": "attention", "direction": "forward", "median_ms": 250.6},
        {**row, "contestant": "fourier", "direction": "both", "median_ms": 31.0},
    ]
    rows[1]["in_rounds"] = False
    machine = {"cpu": {"name": "A CPU"}, "threads": 2, "date": "2026-01-02T03:04:05"}
    machine["load_at_start"] = [0.1]
    content = {"machine": machine, "settings": {"dtype": "fp32"}, "rows": rows}
    text = mixer_section(content)
    inference, training = text.split("Training step on A CPU, 2 threads, fp32, 2026-01-02")
    assert "| `fourier` | 10 |" in inference
    assert "| `attention` | ~251 |" in inference
    assert "| `fourier` | 31 |" in training
    assert "attention" not in training
    rows[0]["median_ms"] = 12.4
    assert "| `fourier` | 12 |" in mixer_section(content)


@pytest.mark.usefixtures("no_child")
def test_filter_selects_every_filter(tmp_path: Path) -> None:
    words = ["--mixers", "filter,fourier", "--task", "inference", "--shapes", "1x16x8"]
    assert command.main([*words, *QUICK, "--out", str(tmp_path)]) == 0
    ran = [row["contestant"] for row in content(tmp_path)["rows"]]
    assert ran == [*(f"filter, {basis}" for basis in KINDS), "fourier"]
