"""The recipes of CONTRIBUTING.md name every source that a change of that kind touches."""

from __future__ import annotations

import re

import pytest

from python_tests.helpers.paths import ROOT

#: By recipe: the folders whose sources it covers, and a pattern that marks them.
RECIPES = {
    "Add an instruction set.": (("cpu", "testing"), r"avx512_|FNET_ISA avx512"),
    "Add an epilogue.": (("core", "cpu", "cuda", "torch"), r"enum class Epilogue|Epilogue::k"),
}


def recipe(title: str) -> str:
    """The text of one recipe."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (found,) = re.findall(rf"^- \*\*{re.escape(title)}\*\*(.*?)^(?:- |\n)", text, re.M | re.S)
    return found


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_names_its_sources(title: str) -> None:
    folders, pattern = RECIPES[title]
    csrc = ROOT / "csrc"
    files = [path for folder in folders for path in (csrc / folder).rglob("*.*")]
    files = [path for path in files if path.suffix != ".pyc"]
    marked = {
        path.relative_to(csrc).as_posix() for path in files if re.search(pattern, path.read_text())
    }
    named = set(re.findall(r"`([\w/<>]+\.\w+)`", recipe(title)))
    assert marked
    assert {name.replace("avx512", "<name>") for name in marked} <= named
