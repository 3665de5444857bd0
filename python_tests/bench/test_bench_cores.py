"""`python -m bench cores` and the gate on rounds and busy share."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from bench import cores, passes, threads
from bench.cores import Division, division
from bench.regression import division as gate

ROUNDS = [[4.0, 2.0], [1.0, 1.0, 1.0]]


def test_a_round_counts_as_its_slowest_slot() -> None:
    found = division(ROUNDS, cores=3)
    assert (found.seconds, found.rounds) == (5.0, 2)
    assert found.busy == pytest.approx(9 / 15)
    assert division(ROUNDS, cores=6).busy == found.busy / 2


def test_more_rounds_and_idle_cores_fail(tmp_path: Path) -> None:
    case, file, found = gate.CASES[0], tmp_path / "division.json", division(ROUNDS, 3)
    gate.record({("avx2", str(case)): found}, file)
    reference = gate.recorded("avx2", case, file)
    assert reference is not None
    assert gate.is_as_good(found, reference)
    assert gate.is_as_good(replace(found, busy=0.8 * found.busy), reference)
    assert not gate.is_as_good(replace(found, busy=0.7 * found.busy), reference)
    assert not gate.is_as_good(replace(found, rounds=3), reference)
    assert gate.recorded("avx2", gate.CASES[1], file) is None


def test_every_record_has_all_cases() -> None:
    names = {str(case) for case in gate.CASES}
    assert len(names) == len(gate.CASES)
    for isa, cases in json.loads(gate.REFERENCE.read_text()).items():
        assert cases.keys() == names, isa


def test_the_command_writes_a_row_per_shape_pass_and_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fnet_core_bench", reason="not built: run `make core`")
    words = ["--shapes", "2x64x48,1x96x80", "--cores", "1,5", "--repeats", "1"]
    assert cores.main([*words, "--out", str(tmp_path)]) == 0
    (written,) = tmp_path.glob("*-cores.json")
    content = json.loads(written.read_text())
    assert content["simulated"] is True
    assert [(r["shape"], r["pass"], r["cores"]) for r in content["rows"]] == [
        (shape, direction, count)
        for shape in ("2x64x48", "1x96x80")
        for direction in cores.PASSES
        for count in (1, 5)
    ]
    for row in content["rows"]:
        assert 0 < row["busy"] <= 1
        assert row["extra"] > 0.5
        assert row["rounds"] >= (2 if row["cores"] == 5 else 1)
        assert row["speedup"] == 1 or row["cores"] == 5
    assert "forward, simulated cores" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cores", "1,x"], "'1,x': expected numbers of cores"),
        (["--shapes", "4"], "'4': expected"),
    ],
)
def test_bad_arguments(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cores.main(words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_instruction_set(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fnet_core_bench", reason="not built: run `make core`")
    assert cores.main(["--isa", "sse9"]) == 2
    assert "--isa: expected auto or one of" in capsys.readouterr().out


def test_a_summary_is_a_division() -> None:
    assert division([[1.0]], cores=1) == Division(1, 1.0, 1, 1.0, 0.0)


def closed(*args: object) -> None:
    raise BrokenPipeError


@pytest.mark.parametrize("module", [cores, passes, threads])
def test_a_closed_pipe_does_not_cost_the_file(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if module is not threads:
        pytest.importorskip("fnet_core_bench", reason="not built: run `make core`")
    words = {
        cores: ["--shapes", "2x16x8", "--cores", "1", "--repeats", "1"],
        passes: ["--first", "1", "--rounds", "1"],
        threads: ["--shapes", "2x16x8", "--threads", "1", "--seconds", "0"],
    }[module]
    monkeypatch.setattr(passes, "COLD", 0)
    monkeypatch.setattr(sys.stdout, "write", closed)
    with pytest.raises(BrokenPipeError):
        module.main([*words, "--out", str(tmp_path)])
    monkeypatch.undo()
    (written,) = tmp_path.iterdir()
    assert json.loads(written.read_text())["machine"]["wall_seconds"] >= 0
