"""docs/promises.md shows every guarantee, and the tests that it names exist."""

from __future__ import annotations

import sys

import pytest

from python_tests.helpers.paths import ROOT
from tools import guarantees


def test_the_page_shows_every_guarantee_with_figures() -> None:
    page = guarantees.PAGE.read_text()
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in page.splitlines()}
    for guarantee in guarantees.GUARANTEES:
        assert guarantee.sentence in rows, "run `python -m tools.guarantees`"
        figures = rows[guarantee.sentence].split(" | ")[2].removesuffix(" |")
        assert any(character.isdigit() for character in figures)


def test_the_named_tests_exist() -> None:
    for guarantee in guarantees.GUARANTEES:
        for name in guarantee.tests:
            assert (ROOT / "python_tests" / name).is_file(), name


def test_a_file_without_tests_is_no_evidence() -> None:
    assert guarantees.collected("tools/test_guarantees.py") == "4 tests"


def test_help_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["guarantees", "--help"])
    monkeypatch.setattr(guarantees, "table", lambda: pytest.fail("measures"))
    with pytest.raises(SystemExit) as end:
        guarantees.main()
    assert end.value.code == 0
