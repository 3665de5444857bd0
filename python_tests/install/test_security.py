"""SECURITY.md: the library unpickles only tensors, starts no process, opens no connection."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from python_tests.helpers.paths import ROOT

PACKAGE = ROOT / "fnet_kernels"
#: Parts of the package that are programs, not the library.
PROGRAMS = {"cli", "demo", "__main__.py"}
LIBRARY = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in PROGRAMS
]
SOURCES = [
    path
    for path in sorted((ROOT / "csrc").rglob("*"))
    if path.suffix in (".h", ".cpp", ".cu")
    and path.relative_to(ROOT / "csrc").parts[0] not in ("testing", "cuda_sim")
]
MODULES = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "subprocess", "pty",
    "multiprocessing", "socket", "ssl", "urllib", "http", "ftplib", "smtplib", "asyncio",
    "requests", "httpx", "aiohttp", "webbrowser", "xmlrpc",
}  # fmt: skip
BUILTINS = {"eval", "exec", "compile", "__import__", "open"}
CALLS = {"system", "popen", "fork", "open", "exec"}
#: Modules whose `load` may unpickle.
LOADERS = {"torch", "numpy", "np"}
CPP_CALLS = re.compile(
    r"\b(system|popen|v?fork|exec[lv]p?e?|posix_spawnp?|socket|connect|fopen|dlopen)\s*\("
    r"|\bofstream\b"
)


def offences(code: str) -> Iterator[str]:
    """The forbidden modules that Python code imports and the forbidden functions that it calls."""
    for node in ast.walk(ast.parse(code)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (name for name in names if name.partition(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            function = node.func
            called = ast.unparse(function)
            owner, _, name = called.rpartition(".")
            if name in (CALLS if owner else BUILTINS) or name.startswith(
                ("spawn", "execv", "execl")
            ):
                yield called
            only_weights = any(ast.unparse(k) == "weights_only=True" for k in node.keywords)
            if name == "load" and owner in LOADERS and not only_weights:
                yield called


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_python_sources_are_self_contained(path: Path) -> None:
    assert list(offences(path.read_text())) == []


def test_the_cpp_sources_are_self_contained() -> None:
    assert len(SOURCES) > 50
    found = {path.name: CPP_CALLS.findall(path.read_text()) for path in SOURCES}
    assert not {name: calls for name, calls in found.items() if calls}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from urllib.request import urlopen",
        "def f():\n    import subprocess as s",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "path.open('w')",
        "os.system('ls')",
        "eval(text)",
    ],
)
def test_an_offence_is_found(code: str) -> None:
    assert list(offences(code))


@pytest.mark.parametrize(
    "code", ["torch.load(path, weights_only=True)", "model.eval()", "re.compile('x')"]
)
def test_what_is_harmless_is_none(code: str) -> None:
    assert not list(offences(code))


def test_an_offence_in_cpp_is_found() -> None:
    assert CPP_CALLS.search('std::system("ls");')
    assert CPP_CALLS.search('std::ofstream file("results");')
