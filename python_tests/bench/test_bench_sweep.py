"""`python -m bench sweep`: random shapes within their bounds, and the worst ratios first."""

from __future__ import annotations

from typing import Any

import pytest

from bench import sweep
from bench.shapes import Shape
from bench.sweep import Found, random_shapes, report

pytestmark = pytest.mark.usefixtures("one_thread")


def test_random_shapes_are_within_their_bounds() -> None:
    limit = 1 << 16
    shapes = list(random_shapes(500, limit, seed=3))
    assert len(shapes) == 500
    for batch, seq, hidden in shapes:
        assert batch * seq * hidden <= limit
        assert seq * hidden >= sweep.FEWEST
    for axis in range(3):  # long and short ones on every axis
        sizes = [shape[axis] for shape in shapes]
        assert min(sizes) == 1
        assert max(sizes) > 500
    assert shapes != list(random_shapes(500, limit, seed=4))


def test_the_worst_come_first() -> None:
    found = [Found((i, 1, 64), "sequences", 1.0, "fold", float(i)) for i in range(40, 0, -1)]
    lines = report(found).splitlines()
    assert "1x1x64" in lines[2]
    assert "1.00x" in lines[2]
    assert "10x1x64" in lines[11]
    assert "11x1x64" not in "\n".join(lines)
    assert lines[-1] == "40 shapes: smallest 1.00x, a tenth below 4.00x, median 20.00x"


def test_given_and_random_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(["--shapes", "2x3x40,33x2x32", "--seconds", "0"]) == 0
    text = capsys.readouterr().out
    assert "2x3x40" in text
    assert "33x2x32" in text
    assert "2 shapes:" in text
    assert sweep.main(["--count", "2", "--limit", "512", "--seconds", "0", "--pass", "both"]) == 0
    assert "seed 0" in capsys.readouterr().out


def test_a_limit_below_one_sequence_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sweep.main(["--limit", "63"])
    assert "--limit: expected at least 64, got 63" in capsys.readouterr().err


def stopping(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """The status and output of a sweep over two shapes, the second of which raises `error`."""
    measure = sweep.measure

    def picky(shape: Shape, *rest: Any) -> Found:
        if shape == (33, 2, 32):
            raise error
        return measure(shape, *rest)

    monkeypatch.setattr(sweep, "measure", picky)
    status = sweep.main(["--shapes", "2x3x40,33x2x32", "--seconds", "0"])
    return status, capsys.readouterr().out


@pytest.mark.parametrize("error", [RuntimeError("no memory\nfor this"), MemoryError("no memory")])
def test_a_shape_that_does_not_fit_is_absent(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = stopping(monkeypatch, error, capsys)
    assert status == 0
    assert "absent: 33x2x32: no memory\n" in text
    assert "1 shapes:" in text


def test_ctrl_c_reports_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = stopping(monkeypatch, KeyboardInterrupt(), capsys)
    assert status == 130
    assert "1 shapes:" in text


def test_a_sweep_that_measures_nothing() -> None:
    assert report([]) == "0 shapes"


def test_large_tensors_use_huge_pages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for huge, said in ((True, "seed 0, huge pages"), (False, "seed 0, no huge pages")):
        monkeypatch.setattr(sweep, "huge", lambda huge=huge: huge)
        assert sweep.main(["--count", "1", "--limit", "512", "--seconds", "0"]) == 0
        assert said in capsys.readouterr().out
