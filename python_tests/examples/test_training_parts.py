"""Flags, schedule, metrics and log of the training programs."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from examples.classify import ClassifyOptions
from examples.training import curves, log
from examples.training.clock import clock
from examples.training.display import Display
from examples.training.metrics import measure
from examples.training.model import configuration
from examples.training.options import Options, TextOptions, parse
from examples.training.schedule import Budget, rate


def test_flags_are_the_fields() -> None:
    words = "--data r8 --mixer dct --gain 0.5 --minutes 2 --compile --from a --round-to 8"
    options, given = parse(ClassifyOptions, "", words.split())
    assert (options.data, options.mixer, options.gain, options.minutes) == ("r8", "dct", 0.5, 2.0)
    assert (options.compile, options.from_, options.round_to) == (True, "a", 8)
    assert given == {"data", "mixer", "gain", "minutes", "compile", "from_", "round_to"}
    rest = ClassifyOptions(data="r8")
    assert (options.hidden, options.lr) == (rest.hidden, rest.lr)


def test_outputs_begin_equally_large_at_every_width() -> None:
    std = {
        hidden: configuration(TextOptions(data="r8", hidden=hidden), 100, 2).initializer_range
        for hidden in (64, 192, 768)
    }
    assert std == {64: 0.0693, 192: 0.04, 768: 0.02}
    sums = [hidden * value**2 for hidden, value in std.items()]  # variance of a row's product
    assert np.ptp(sums) < 2e-3 * max(sums)


def test_dropout_of_attention_is_that_of_all_if_none_is_given() -> None:
    found = []
    for given in (None, 0.0):
        options = TextOptions(data="r8", dropout=0.25, attention_dropout=given)
        config = configuration(options, 100, 2)
        found.append((config.hidden_dropout_prob, config.attention_probs_dropout_prob))
    assert found == [(0.25, 0.25), (0.25, 0.0)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--mixer nothing", "argument --mixer: must be one of attention, circulant, "),
        ("--mixer no_module:nothing", "argument --mixer: cannot import no_module: No module named"),
        ("--mixer-args [1]", "argument --mixer-args: must be a JSON object, got '[1]'"),
        ("--batch 0", "argument --batch: must be an integer from 1 to 2147483647, got '0'"),
        ("--lr -1", "argument --lr: must be a number of at least 0, got '-1'"),
        ("--lr nan", "argument --lr: must be a number of at least 0, got 'nan'"),
        ("--dropout 1.5", "argument --dropout: must be a number from 0 to 1, got '1.5'"),
        ("--attention-dropout x", "--attention-dropout: must be a number of at least 0, got 'x'"),
        ("--gain big", "argument --gain: must be 'paper' or a number, got 'big'"),
        ("--steps 3 --minutes 1", "give one of --steps, --minutes and --epochs"),
    ],
)
def test_a_bad_flag_is_named(words: str, message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parse(Options, "", words.split())
    assert message in capsys.readouterr().err


def test_data_is_required(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parse(TextOptions, "", [])
    assert "--data" in capsys.readouterr().err


def test_the_rate_rises_and_falls() -> None:
    assert [rate(2.0, 0.1, spent) for spent in (0.0, 0.05, 0.1, 0.55, 1.0, 1.2)] == pytest.approx(
        [0.0, 1.0, 2.0, 1.0, 0.0, 0.0]
    )
    assert rate(2.0, 0.0, 0.0) == 2.0
    assert rate(2.0, 1.0, 1.0) == 2.0


def test_a_budget_is_steps_or_seconds() -> None:
    of = {name: Budget.of(Options(**{name: 4}), 25) for name in ("steps", "epochs", "minutes")}
    assert of["steps"].spent(2, 1e9) == 0.5
    assert of["epochs"].spent(50, 1e9) == 0.5
    assert of["minutes"].spent(10**9, 60.0) == 0.25
    assert Budget.of(Options(), 25).steps == 250
    assert Budget.of(Options(minutes=0.0), 25).spent(0, 0.0) == 1.0


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize(("threads", "name"), [(1, "processor"), (2, "wall")])
def test_waiting_is_no_time_of_the_processor(threads: int, name: str) -> None:
    torch.set_num_threads(threads)
    found = clock(torch.device("cpu"))
    began = found.now()
    time.sleep(0.2)
    slept = found.now() - began
    assert found.name == name
    assert slept < 0.1 if threads == 1 else slept >= 0.19


def test_metrics_follow_their_definitions() -> None:
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 2, 200)
    predictions = np.where(chance.random(200) < 0.8, labels, 1 - labels)
    found = measure(["accuracy", "f1", "matthews"], predictions, labels)
    tp, tn = (int(((predictions == c) & (labels == c)).sum()) for c in (1, 0))
    fp, fn = (int(((predictions == c) & (labels != c)).sum()) for c in (1, 0))
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    scale = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    assert found == pytest.approx(
        {
            "accuracy": (tp + tn) / 200,
            "f1": 2 * precision * recall / (precision + recall),
            "matthews": (tp * tn - fp * fn) / scale,
        }
    )


def test_correlations_are_those_of_scipy() -> None:
    chance = np.random.default_rng(0)
    x = chance.integers(0, 10, 100).astype(float)  # with ties
    y = x + chance.normal(0, 3, 100)
    found = measure(["pearson_spearman"], y, x)
    assert found["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert found["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found["pearson_spearman"] == pytest.approx((found["pearson"] + found["spearman"]) / 2)


def test_constant_predictions_have_no_correlation() -> None:
    ones = np.ones(10, int)
    found = measure(["f1", "matthews"], 0 * ones, ones)
    assert found == {"f1": 0.0, "matthews": 0.0}
    assert measure(["f1"], 0 * ones, 0 * ones) == {"f1": 0.0}


def _write(folder: Path) -> None:
    first = log.Log(folder, resume=False)
    first.write("header", seed=0)
    for step in (1, 2, 3, 4):
        first.write("step", step=step, loss=float(step))
    first.write("validation", step=4, loss=1.0, accuracy=0.5)
    with (folder / log.FILE).open("a") as file:
        file.write('{"kind": "step", "st')  # a crash


def test_a_resumed_run_replaces_what_it_repeats(tmp_path: Path) -> None:
    _write(tmp_path)
    again = log.Log(tmp_path, resume=True)
    again.write("resumed", step=2)
    again.write("step", step=3, loss=30.0)
    assert log.finished(tmp_path) is None
    again.write("test", step=3, accuracy=1.0)
    found = log.records(tmp_path)
    assert [one["kind"] for one in found] == ["header", "step", "step", "resumed", "step", "test"]
    assert [one["loss"] for one in found if "loss" in one] == [1.0, 2.0, 30.0]
    assert log.finished(tmp_path) == {"kind": "test", "step": 3, "accuracy": 1.0}


def test_a_new_run_starts_a_new_log(tmp_path: Path) -> None:
    _write(tmp_path)
    log.Log(tmp_path, resume=False)
    assert log.records(tmp_path) == []


@pytest.mark.parametrize("path", ["te\u2028xts", "te\x85xts", "te\udcffxts", "té✓"], ids=ascii)
def test_a_log_holds_any_path(path: str, tmp_path: Path) -> None:
    """Of line separators, of bytes that are no UTF-8, and of other alphabets."""
    log.Log(tmp_path, resume=False).write("header", command=[path])
    log.Log(tmp_path, resume=True).write("test", step=1)
    assert [one["kind"] for one in log.records(tmp_path)] == ["header", "test"]
    assert log.records(tmp_path)[0]["command"] == [path]


def test_curves_are_drawn_from_the_log(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    _write(tmp_path)
    path = curves.draw(tmp_path)
    assert path is not None
    assert path.read_bytes().startswith(b"\x89PNG")


def test_tensorboard_gets_numbers_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            calls.append(Path(folder))

        def add_scalar(self, *values: Any) -> None:
            calls.append(values)

        def close(self) -> None:
            calls.append("closed")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    written = log.Log(tmp_path, resume=False)
    written.write("header", seed=0)
    written.write("step", step=7, loss=0.5)
    written.close()
    assert calls == [tmp_path / "tensorboard", ("step/loss", 0.5, 7), "closed"]


def test_tensorboard_on_a_full_disk_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Writer:
        """As TensorBoard's: the error of its thread is raised again by the next call."""

        Thread = type("Thread", (threading.Thread,), {"__module__": "tensorboard.summary"})

        def __init__(self, _: str) -> None:
            self.thread = self.Thread(target=fail)
            self.thread.start()

        def add_scalar(self, *_: Any) -> None:
            self.thread.join()
            fail()

        close = add_scalar

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    written = log.Log(tmp_path, resume=False)
    message = r"^cannot write \S*/tensorboard: No space left on device$"
    with pytest.raises(SystemExit, match=message):
        written.write("step", step=7, loss=0.5)
    with pytest.raises(SystemExit, match=message):
        written.close()
    assert "Traceback" not in capsys.readouterr().err
    other = threading.Thread(target=fail)
    other.start()
    other.join()
    assert "No space left on device" in capsys.readouterr().err, "errors of other threads are shown"


def test_without_a_terminal_lines_are_plain_and_few(capsys: Any) -> None:
    shown = Display("title")
    for step in range(100):
        shown.update(step / 100, f"step {step}")
    shown.say("the end")
    shown.close()
    assert capsys.readouterr().out == "title: 0 %  step 0\nthe end\n"
    quiet = Display("title", quiet=True)
    quiet.update(0.5, "step")
    quiet.say("the end")
    assert capsys.readouterr().out == ""


def test_a_closed_pipe_ends_the_lines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        display = Display("run")
        os.close(reader)
        display.say("one")
        display.say("two")


def test_a_terminal_shows_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    shown = Display("title")
    shown.update(0.25, "step 7")
    shown.say("a line that stays")
    shown.close()
    text = terminal.getvalue()
    assert "25 %" in text
    assert "step 7" in text
    assert "a line that stays" in text
