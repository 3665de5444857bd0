"""The examples in the docstrings run, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import fnet_kernels

PACKAGE = Path(fnet_kernels.__file__).parent
#: By their text, so that a module with its first example is not forgotten here.
MODULES = [
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).replace("__init__", "")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if name == "hf":
        pytest.importorskip("transformers")
    module = importlib.import_module(f"fnet_kernels.{name}".rstrip("."))
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_public_name_has_an_example() -> None:
    for name in fnet_kernels.__all__:
        documented = getattr(fnet_kernels, name)
        if not hasattr(documented, "__path__") and callable(documented):
            assert ">>> " in (documented.__doc__ or ""), name
