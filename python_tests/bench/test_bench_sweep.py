"""`python -m bench sweep`: random shapes within their bounds, and the worst ratios first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import sweep
from bench.shapes import Shape
from bench.sweep import Found, random_shapes, report
from bench.sweep_figures import sweep_section

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


def test_given_shapes_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--shapes", "2x3x40,33x2x32", "--seconds", "0", "--out", str(tmp_path)]
    assert sweep.main(words) == 0
    text = capsys.readouterr().out
    assert "2x3x40" in text
    assert "33x2x32" in text
    assert "2 shapes:" in text
    assert not list(tmp_path.iterdir())


def test_random_shapes_are_saved_for_the_documents(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--count", "3", "--limit", "512", "--seed", "7", "--seconds", "0", "--pass", "both"]
    assert sweep.main([*words, "--out", str(tmp_path)]) == 0
    assert "seed 7" in capsys.readouterr().out
    (written,) = tmp_path.glob("*-sweep-fp32-both.json")
    content = json.loads(written.read_text())
    assert [tuple(row["shape"]) for row in content["rows"]] == list(random_shapes(3, 512, seed=7))
    text = sweep_section([content])
    assert "Random shapes of at most 512 elements, seed 7, " in " ".join(text.split())
    assert "| forward + backward | fp32 | 3 |" in text
    assert "The smallest, " not in text

    ours, other = (0.002, 0.003), (0.004, 0.001)
    for row, *times in zip(content["rows"], (*ours, 0.002), (*other, 0.002), strict=True):
        row["ours"], row["other"] = times
    forward = {**content, "settings": content["settings"] | {"pass": "forward"}}
    text = sweep_section([content, forward])
    assert "| forward | fp32 | 3 | 1.00x | 0.33x | 1 | 0.33x at " in text
    other_seed = {**content, "settings": content["settings"] | {"seed": 8}}
    with pytest.raises(ValueError, match="expected sweeps of one limit, seed and threads"):
        sweep_section([content, other_seed])
    assert sweep_section([]) == ""
    first, _, third = (line.split(" | ") for line in text.splitlines()[-3:])
    assert first[1:3] == ["3.000", "0.33x"]
    assert third[1:3] == ["2.000", "2.00x"]


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for huge, said in ((True, "seed 0, huge pages"), (False, "seed 0, no huge pages")):
        monkeypatch.setattr(sweep, "huge", lambda huge=huge: huge)
        words = ["--count", "1", "--limit", "512", "--seconds", "0", "--out", str(tmp_path)]
        assert sweep.main(words) == 0
        assert said in capsys.readouterr().out
