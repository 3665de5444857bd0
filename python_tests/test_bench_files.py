"""What stands beside the benchmarks: the README's figures, the regression gate, the counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "bench" / "regression")]

import gate  # noqa: E402
import instructions  # noqa: E402
import readme  # noqa: E402

RESULTS = json.loads(readme.RESULTS.read_text())


def test_the_readme_says_what_the_results_say() -> None:
    text = (ROOT / "README.md").read_text()
    assert readme.updated(text, RESULTS) == text, "run python bench/readme.py"


def test_other_results_make_another_readme() -> None:
    changed = json.loads(json.dumps(RESULTS))
    for bar in changed["bars"]:
        bar["measured"] *= 2
        bar["pass"] = True
    was, now = readme.block(RESULTS), readme.block(changed)
    assert was != now
    assert "all are met" in now
    first = next(bar for bar in RESULTS["bars"] if bar["bar"] == readme.FORMULA)
    assert f"| {2 * first['measured']:.1f} (" in now
    with pytest.raises(ValueError, match="the README needs"):
        readme.updated("no markers", RESULTS)
    with pytest.raises(ValueError, match="stands before"):
        readme.updated(f"{readme.END}\n{readme.BEGIN}", RESULTS)


def test_the_gate_lets_noise_pass_and_a_halved_lead_not() -> None:
    assert 0.5 < gate.SLACK < 1
    limit = gate.SLACK * 4.0
    assert gate.held(4.0 * 0.7, limit, lambda: 0.0) == (True, [4.0 * 0.7])
    later = iter([2.0, 3.9])
    assert gate.held(2.0, limit, lambda: next(later)) == (True, [2.0, 2.0, 3.9])
    assert gate.held(2.0, limit, lambda: 2.0) == (False, [2.0] * gate.ATTEMPTS)


def test_the_gate_knows_a_dozen_cases() -> None:
    reference = json.loads(gate.REFERENCE.read_text())
    assert len(gate.CASES) == 12
    for isa, entry in reference.items():
        assert entry["leads"].keys() == {str(case) for case in gate.CASES}, isa
        assert gate.required(gate.CASES[0], isa) == pytest.approx(
            gate.SLACK * entry["leads"][str(gate.CASES[0])]
        )
    assert gate.required(gate.CASES[0], "sse9") is None


def test_counts_are_read_in_the_order_of_the_dumps(tmp_path: Path) -> None:
    for number, total in ((10, 3), (2, 2), (1, 1)):
        (tmp_path / f"out.{number}").write_text(f"events: Ir\nsummary: {total}\n")
    (tmp_path / "out").write_text("totals: 99\n")
    assert instructions.counted(tmp_path) == [1, 2, 3]
    known = json.loads((ROOT / "bench" / "results" / "instructions-avx2.json").read_text())
    assert len(known["instructions"]) == len(instructions.cases())


def test_every_package_is_listed() -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = [path.parent for path in (ROOT / "fnet_kernels").rglob("__init__.py")]
    assert sorted(listed) == sorted(".".join(p.relative_to(ROOT).parts) for p in there)
