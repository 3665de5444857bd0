"""`python -m bench varlen`: the calls compute what they say, and the table names them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench import varlen
from bench.contestants.setting import EPS
from bench.measure.timing import WrongResult
from bench.shapes import VARLEN, random_lengths
from fnet_kernels import reference
from python_tests.helpers.close import assert_close

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_lengths_are_those_of_the_target() -> None:
    assert len(VARLEN) == 64
    assert 16 <= min(VARLEN) < 64
    assert 448 < max(VARLEN) <= 512
    assert random_lengths(64, 512) == VARLEN
    assert random_lengths(64, 512, seed=1) != VARLEN


def test_packed_mixes_agree_with_the_definition() -> None:
    lengths = [30, 17, 64]
    x, weight, bias = torch.randn(111, 24), torch.randn(24), torch.randn(24)
    wide = (t.double() for t in (x, weight, bias))
    expected = reference.fused_fourier_mix_varlen(next(wide), varlen.offsets(lengths), *wide, EPS)
    same = ("packed", "one by one", "formula")
    for name, (shape, mix) in varlen.mixes(lengths, 24).items():
        if name in same:
            assert shape == x.shape
            assert_close(mix(x, weight, bias), expected, 4)
        else:
            assert mix(torch.randn(shape), weight, bias).shape == shape


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_the_table(direction: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--count", "3", "--longest", "20", "--hidden", "8", "--seconds", "0"]
    assert varlen.main([*words, "--pass", direction]) == 0
    text = capsys.readouterr().out
    for name in varlen.mixes([16], 8):
        assert f"{name} " in text
    assert "1.00x" in text


def test_impossible_options_are_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        varlen.main(["--longest", "15"])
    assert "--longest: expected at least 16, got 15" in capsys.readouterr().err


def test_a_call_that_does_not_fit_is_absent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = varlen.call

    def no_memory(shape: tuple[int, ...], *rest: Any, **named: Any) -> Any:
        if len(shape) == 3:
            raise RuntimeError("can't allocate memory")
        return made(shape, *rest, **named)

    monkeypatch.setattr(varlen, "call", no_memory)
    words = ["--count", "3", "--longest", "20", "--hidden", "8", "--seconds", "0"]
    assert varlen.main(words) == 0
    text = capsys.readouterr().out
    assert "absent: padded: can't allocate memory" in text
    assert "one by one " in text


def test_without_packed_rows_there_are_no_ratios(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*args: Any, **rest: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(varlen, "fused_fourier_mix_varlen", fails)
    words = ["--count", "3", "--longest", "20", "--hidden", "8", "--seconds", "0"]
    assert varlen.main(words) == 0
    text = capsys.readouterr().out
    assert "absent: packed: MemoryError" in text
    assert "1.00x" not in text


@pytest.mark.parametrize("backward", [False, True])
def test_every_mix_is_checked(backward: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [30, 17, 64]
    made = varlen.mixes(lengths, 24)
    for name in made:
        varlen.check(name, lengths, 24, backward=backward)
    for name, (shape, mix) in made.items():
        wrong = {name: (shape, lambda x, w, b, mix=mix: 1.001 * mix(x, w, b))}
        monkeypatch.setattr(varlen, "mixes", lambda *args, wrong=wrong: wrong)
        with pytest.raises(WrongResult, match=f"{name}: relative error"):
            varlen.check(name, lengths, 24, backward=backward)


def test_a_wrong_result_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(varlen, "fused_fourier_mix_varlen", lambda x, *args, **named: 2 * x)
    words = ["--count", "3", "--longest", "20", "--hidden", "8", "--seconds", "0"]
    assert varlen.main(words) == 1
    said = capsys.readouterr()
    assert "stopped because a result is wrong: packed: relative error" in said.err
    assert "median" not in said.out
