"""The examples in docstrings run, and every public name has one."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

import fnet_kernels

ROOT = next(p for p in Path(__file__).parents if (p / "pyproject.toml").exists())
PACKAGE = Path(fnet_kernels.__file__).parent
#: All modules whose text contains an example.
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.usefixtures("mixers_restored")
@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if ".hf" in name:
        pytest.importorskip("transformers")
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def public() -> dict[str, object]:
    """The public functions and classes: {import path: object}."""
    names = {name: getattr(fnet_kernels, name) for name in fnet_kernels.__all__}
    of_hf = ("patch_fnet", "register", "unpatch_fnet")
    hf = {f"hf.{name}": getattr(fnet_kernels.hf, name) for name in of_hf}
    found = {f"fnet_kernels.{name}": value for name, value in (names | hf).items()}
    return {name: value for name, value in found.items() if not isinstance(value, ModuleType)}


@pytest.mark.parametrize("name", public())
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (public()[name].__doc__ or "")


def test_every_public_name_is_on_the_api_page() -> None:
    page = (ROOT / "docs" / "api.md").read_text().splitlines()
    assert [name for name in public() if f"::: {name}" not in page] == []
