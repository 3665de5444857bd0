"""Who may import whom, and that no module edits `sys.path`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from python_tests.helpers.paths import ROOT

#: What a folder must not import.
FORBIDDEN = {
    "fnet_kernels": {"bench", "python_tests", "tools"},
    "bench": {"python_tests", "tools"},
    "tools": {"python_tests"},
    "examples": {"bench", "python_tests", "tools"},
}
#: Loads the simulator of the CUDA kernels, a compiled module, from the folder it is built in.
LOADERS = {"cuda_sim.py"}
FILES = [
    path
    for folder in FORBIDDEN
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name not in LOADERS
]


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
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
    assert not {name for name in found if name.partition(".")[0] in FORBIDDEN[inside[0]]}
    assert "sys.path" not in text
    if inside[:2] == ("fnet_kernels", "_ops"):
        rooms = ("hf", "diagnostics", "demo", "cli", "functional", "modules", "encoder")
        above = tuple(f"fnet_kernels.{room}" for room in rooms)
        assert not [name for name in found if name.startswith(above)]
