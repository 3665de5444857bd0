"""The layering rule for imports; no module edits `sys.path`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from python_tests.helpers.paths import ROOT

#: By folder: the packages that it must not import.
FORBIDDEN = {
    "build_backend": {"bench", "fnet_kernels", "python_tests", "tools"},
    "fnet_kernels": {"bench", "python_tests", "tools"},
    "bench": {"python_tests", "tools"},
    "tools": {"python_tests"},
    "examples": {"bench", "python_tests", "tools"},
}
#: What measures and reports does so as the benchmarks do. Programs for users import the library.
MEASURING = {"latency_budget", "report", "studies"}
#: Finds the compiled simulator module in its build folder.
LOADERS = {"cuda_sim.py"}
FILES = [
    path
    for folder in FORBIDDEN
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name not in LOADERS
] + [ROOT / "setup.py"]


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports, at any place in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_stay_in_their_layer(path: Path) -> None:
    text = path.read_text()
    inside = path.relative_to(ROOT).parts
    found = set(imported(ast.parse(text)))
    forbidden = FORBIDDEN.get(inside[0], set())
    if inside[0] == "examples" and inside[1] in MEASURING:
        forbidden = forbidden - {"bench"}
    assert not {name for name in found if name.partition(".")[0] in forbidden}
    assert not re.search(r"sys\.path(\.|\[| \+?=)", text)
    if inside[:2] == ("fnet_kernels", "_ops"):
        rooms = ("hf", "diagnostics", "demo", "cli", "functional", "modules", "encoder")
        above = tuple(f"fnet_kernels.{room}" for room in rooms)
        assert not [name for name in found if name.startswith(above)]


def test_no_two_test_files_share_a_name() -> None:
    """Test folders are no packages, so pytest imports their files by name alone."""
    special = ("__init__.py", "conftest.py")
    paths = (ROOT / "python_tests").glob("*/*.py")
    names = [path.name for path in paths if path.name not in special]
    assert sorted(set(names)) == sorted(names)
