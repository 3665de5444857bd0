"""The regression gate, the instruction counts and the recording of results."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench import command, instructions, record
from bench.contestants.blocks import PRE_NORM
from bench.contestants.registry import isas, pin
from bench.regression import gate
from bench.regression.cases import CASES, POST_NORM, VARLEN, Case
from python_tests.helpers.paths import ROOT


def test_the_gate_takes_the_minimum_over_blocks() -> None:
    rival = [1.0] * (gate.BLOCKS * 5)
    noisy = [9.0] * 5 + [1.5] * 5 + [1.6] * 5
    assert gate.min_ratio(noisy, rival) == 1.5
    assert gate.min_ratio([2 * t for t in noisy], rival) == 3.0
    with pytest.raises(ValueError, match="zip"):
        gate.min_ratio(noisy, rival[1:])


def test_the_limit_lies_between_noise_and_half_the_speed(tmp_path: Path) -> None:
    case, file = CASES[0], tmp_path / "reference.json"
    gate.record({("avx2", str(case)): 1.5}, "", file)
    limit = gate.limit(case, "avx2", file)
    assert limit is not None
    assert 1.3 * 1.5 < limit < 2 * 1.5 / 1.3
    gate.record({("avx2", str(CASES[1])): 2.5}, "", file)
    assert gate.limit(case, "avx2", file) == limit, "a record of other cases keeps it"
    for ratio, extremes in ((2.4, (1.5, 2.4)), (1.6, (1.5, 1.6)), (2.4, (1.5, 2.4))):
        gate.record({("avx2", str(case)): ratio}, "a quiet host", file)
        limit = gate.limit(case, "avx2", file)
        assert limit == pytest.approx((2 * extremes[0] * extremes[1]) ** 0.5)
    entry = json.loads(file.read_text())["avx2"]
    assert len(entry) == 2
    file.write_text(json.dumps({"avx2": entry | {"another": {"ratios": {str(case): 2.0}}}}))
    assert gate.limit(case, "avx2", file) == limit, "between the others"
    assert gate.limit(CASES[2], "avx2", file) is None
    assert gate.limit(case, "sse9", file) is None


def test_twice_as_slow_doubles_the_time() -> None:
    start = time.perf_counter()
    assert gate.twice_as_slow(lambda: time.sleep(0.02) or "result")() == "result"
    assert time.perf_counter() - start >= 0.04


def test_every_block_is_checked_against_its_formula() -> None:
    (isa, *_) = isas()
    for block in (POST_NORM, PRE_NORM, VARLEN):
        case = Case((1, 1024, 6), block=block)
        gate.calls(case, isa)
        wrong = replace(block, ours=lambda *t, ours=block.ours: 1.001 * ours(*t))
        with pytest.raises(ArithmeticError, match="relative error"):
            gate.calls(replace(case, block=wrong), isa)
    constant = replace(POST_NORM, ours=lambda x, *rest: POST_NORM.ours(x.detach(), *rest) + 0 * x)
    gate.calls(Case((1, 64, 6), block=constant), isa)
    with pytest.raises(ArithmeticError, match="relative error"):
        gate.calls(Case((1, 64, 6), direction="both", block=constant), isa)
    pin()


def test_every_case_has_a_record() -> None:
    """On the instruction sets of every x86 machine; a case is new to machines that came before."""
    names = {str(case) for case in CASES}
    assert len(names) == 19
    content = json.loads(gate.REFERENCE.read_text())
    for isa, machines in content.items():
        for name, entry in machines.items():
            assert entry["ratios"].keys() <= names, (isa, name)
    for isa in ("avx2", "portable"):
        assert set().union(*(entry["ratios"] for entry in content[isa].values())) == names, isa


def test_counts_follow_the_order_of_the_dumps(tmp_path: Path) -> None:
    for number, total in ((10, 3), (2, 2), (1, 1)):
        (tmp_path / f"out.{number}").write_text(f"events: Ir\nsummary: {total}\n")
    (tmp_path / "out").write_text("totals: 99\n")
    assert instructions.counted(tmp_path) == [1, 2, 3]
    names = [str(case) for case in instructions.CASES]
    assert len(set(names)) == len(names)
    known = json.loads((ROOT / "bench" / "results" / "instructions-avx2.json").read_text())
    assert known["instructions"].keys() <= set(names) or "compiler" not in known


def count(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["instructions.py", *words])
    return instructions.main()


def test_a_limit_without_valgrind_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    known = str(ROOT / "bench" / "results" / "instructions-avx2.json")
    assert count(monkeypatch) == 0, "no limit was given"
    assert count(monkeypatch, "--against", known, "--max-growth", "2") == 2
    assert count(monkeypatch, "--against", known, "--max-growth", "2", "--if-available") == 0
    assert capsys.readouterr().out.count("absent: instruction counts: valgrind") == 3


def test_counts_are_compared_only_for_the_same_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instructions, "facts", lambda: {"compiler": "GCC 12"})
    monkeypatch.setattr(instructions.shutil, "which", lambda name: "/usr/bin/valgrind")
    monkeypatch.setattr(instructions, "measure", lambda: ("avx2", {"a": 100, "b": 103}))
    before = tmp_path / "before.json"
    for compiler, counts, status in (
        ("GCC 12", {"a": 100, "b": 102}, 0),
        ("GCC 12", {"a": 100, "b": 100}, 1),
        ("GCC 13", {"a": 100, "b": 100}, 2),
    ):
        before.write_text(json.dumps({"compiler": compiler, "instructions": counts}))
        words = ("--against", str(before), "--max-growth", "2")
        assert count(monkeypatch, *words, "--out", str(tmp_path / "now.json")) == status
    assert count(monkeypatch, *words, "--if-available") == 0
    assert "not compared: built by GCC 12, recorded with GCC 13" in capsys.readouterr().out
    assert json.loads((tmp_path / "now.json").read_text())["compiler"] == "GCC 12"


def test_a_wrong_file_is_told_before_the_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instructions.shutil, "which", lambda name: "/usr/bin/valgrind")
    monkeypatch.setattr(instructions, "measure", lambda: pytest.fail("it counted"))
    for text, said in (
        (None, "cannot read"),
        ("no", "is not JSON"),
        ("[]", "has no 'instructions'"),
    ):
        file = tmp_path / "before.json"
        if text is not None:
            file.write_text(text)
        with pytest.raises(SystemExit):
            count(monkeypatch, "--against", str(file))
        assert said in capsys.readouterr().err


def test_the_compiler_is_read_from_the_extension() -> None:
    assert re.search(r"GCC|clang", instructions.compiler())


def test_recording_fits_in_half_an_hour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = record.steps()
    assert sum(step.minutes for step in steps) <= 30
    monkeypatch.setattr(sys, "argv", ["record.py", "--dry-run", "--only", "targets,passes"])
    assert record.main() == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "targets",
        "passes",
    ]
    for step in steps:  # the command accepts every argument
        if step.words[:2] == ("-m", "bench"):
            parser = argparse.ArgumentParser()
            command.add_arguments(parser)
            parser.parse_args(step.words[2:])


def test_a_step_that_cannot_end_in_time_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = record.Step("quick", 0.0, ("-c", "raise SystemExit(3)"))
    monkeypatch.setattr(record, "steps", lambda: [record.Step("long", 9, ()), quick])
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["record.py", "--minutes", "1"])
    assert record.main() == 1
    (file,) = tmp_path.iterdir()
    found = json.loads(file.read_text())["steps"]
    assert found["long"]["status"].startswith("skipped")
    assert found["quick"]["status"] == "exit status 3"
    monkeypatch.setattr(sys, "argv", ["record.py", "--only", "quick"])
    assert record.main() == 1
    again = json.loads(file.read_text())["steps"]
    assert again["long"] == found["long"], "a step that was not chosen keeps its record"
    file.write_text(json.dumps({"steps": {"long": {"status": "", "seconds": 5}}}))
    monkeypatch.setattr(sys, "argv", ["record.py", "--minutes", "1"])
    assert record.main() == 1
    kept = json.loads(file.read_text())["steps"]
    assert kept["long"]["seconds"] == 5, "a step that was skipped replaces no record"
    file.write_text("as it was")
    monkeypatch.setattr(sys, "argv", ["record.py", "--minutes", "1", "--only", "long"])
    assert record.main() == 1
    assert file.read_text() == "as it was", "nothing ran"
