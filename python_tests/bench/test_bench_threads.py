"""`python -m bench threads`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import threads
from bench.contestants.setting import Setting
from fnet_kernels._timing import Timing

SHAPE = (2, 32, 48)


def rows_of(*milliseconds: tuple[str, int, float]) -> list[dict[str, Any]]:
    """Rows of one shape and pass; the speed-ups are over the first row of each contestant."""
    first: dict[str, float] = {}
    return [
        {"shape": "2x32x48", "pass": "forward", "contestant": name, "threads": count}
        | {"q1_ms": ms, "median_ms": ms, "q3_ms": ms, "speedup": first.setdefault(name, ms) / ms}
        for name, count, ms in milliseconds
    ]


@pytest.mark.parametrize(("limit", "expected"), [(1, [1]), (2, [1, 2]), (12, [1, 2, 4, 8, 12])])
def test_the_default_ends_with_all_threads(limit: int, expected: list[int]) -> None:
    assert threads.powers_of_two(limit) == expected


def test_each_call_runs_on_its_threads(
    threads_restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And they are there before it is timed."""
    seen: list[tuple[str, int]] = []

    def timed(calls: dict[str, Any], before: dict[str, Any], **_: Any) -> dict[str, Timing]:
        for name in calls:
            before[name]()
            seen.append((name, torch.get_num_threads()))
        return {name: Timing((1.0,)) for name in calls}

    monkeypatch.setattr(threads, "interleave", timed)
    threads.compared(SHAPE, "forward", (2, 1), 0)
    assert seen == [(f"{name} {count}", count) for name, count in _both((2, 1))]


def _both(counts: tuple[int, ...]) -> list[tuple[str, int]]:
    return [(name, count) for name in (threads.OURS, threads.TORCH) for count in counts]


def test_the_table_compares_equal_numbers_of_threads() -> None:
    ours, torchs = threads.OURS, threads.TORCH
    rows = rows_of((ours, 1, 8.0), (ours, 2, 4.0), (torchs, 1, 24.0), (torchs, 2, 20.0))
    lines = [line.split() for line in threads.tables(rows).splitlines()]
    found = {" ".join(words[:-2]): words[-2:] for words in lines if len(words) > 2}
    assert found["2x32x48 ours, ms"] == ["8.00", "4.00"]
    assert found["ours, speed-up"] == ["1.0", "2.0"]
    assert found["torch, speed-up"] == ["1.0", "1.2"]
    assert found["torch / ours"] == ["3.0", "5.0"]


def test_the_command_writes_a_row_per_pass_contestant_and_count(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    words = ["--shapes", "2x32x48", "--threads", "1,2", "--seconds", "0.01"]
    assert threads.main([*words, "--out", str(tmp_path)]) == 0
    assert torch.get_num_threads() == before
    (written,) = tmp_path.glob("*-threads.json")
    rows = json.loads(written.read_text())["rows"]
    assert [(r["pass"], r["contestant"], r["threads"]) for r in rows] == [
        (direction, name, count)
        for direction in threads.PASSES
        for name in (threads.OURS, threads.TORCH)
        for count in (1, 2)
    ]
    for row in rows:
        assert 0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"]
        assert row["speedup"] == 1 or row["threads"] == 2


def test_a_shape_that_does_not_fit_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cold = threads.Problem.cold

    def picky(setting: Setting) -> threads.Problem:
        if setting.shape == (2, 16, 8) and setting.backward:
            raise RuntimeError("no memory")
        return cold(setting)

    monkeypatch.setattr(threads.Problem, "cold", picky)
    monkeypatch.setattr(threads, "huge", lambda: True)
    words = ["--shapes", "2x16x8,2x32x48", "--threads", "1", "--seconds", "0"]
    assert threads.main([*words, "--out", str(tmp_path)]) == 0
    (written,) = tmp_path.glob("*-threads.json")
    content = json.loads(written.read_text())
    assert content["absent"] == {"2x16x8, both": "no memory"}
    assert content["machine"]["huge_pages"] is True
    ran = dict.fromkeys((row["shape"], row["pass"]) for row in content["rows"])
    assert list(ran) == [("2x16x8", "forward"), ("2x32x48", "forward"), ("2x32x48", "both")]
    assert "absent: 2x16x8, both: no memory" in capsys.readouterr().out
