"""Code that runs once another module has been imported."""

import importlib
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from fnet_kernels._ops.on_import import _AfterImport, after_import


def made(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a module that can be imported, and return its name."""
    (folder / f"{name}.py").write_text("ready = True\n")
    monkeypatch.syspath_prepend(folder)
    return name


def test_actions_follow_the_import_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = made("module_that_others_wait_for", tmp_path, monkeypatch)
    finders = list(sys.meta_path)
    seen: list[tuple[str, bool]] = []

    def action(label: str) -> None:
        after_import(name, lambda: seen.append((label, sys.modules[name].ready)))

    action("first")
    action("second")
    assert not seen
    importlib.import_module(name)
    assert sorted(seen) == [("first", True), ("second", True)]
    assert sys.meta_path == finders

    action("third")  # the module is there
    assert seen[2:] == [("third", True)]
    sys.modules.pop(name)


def test_what_a_later_torch_lacks_does_not_fail_its_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = made("module_without_a_function", tmp_path, monkeypatch)
    after_import(name, lambda: sys.modules[name].registration())
    for step in (
        lambda: importlib.import_module(name),
        lambda: after_import(name, lambda: sys.modules[name].registration()),
    ):
        with pytest.warns(UserWarning, match=f"does not know {name} .* 'registration'"):
            step()
    sys.modules.pop(name)


def test_a_loader_of_several_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loader:
        def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
            known = name in ("first_of_two", "second_of_two")
            return ModuleSpec(name, self) if known else None  # type: ignore[arg-type]

        def create_module(self, spec: ModuleSpec) -> None:
            return None

        def exec_module(self, module: ModuleType) -> None:
            if module.__name__ == "first_of_two":
                importlib.import_module("second_of_two")
                seen.append("first_of_two executed")

    seen: list[str] = []
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Loader()])
    after_import("first_of_two", lambda: seen.append("action"))
    importlib.import_module("first_of_two")
    assert seen == ["first_of_two executed", "action"]
    for name in ("first_of_two", "second_of_two"):
        sys.modules.pop(name)


def test_a_finder_older_than_pep_451_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    finders = [f for f in sys.meta_path if not isinstance(f, _AfterImport)]
    known = [_AfterImport("json.tool", lambda: None), object(), *finders]
    monkeypatch.setattr(sys, "meta_path", known)
    assert importlib.util.find_spec("json.tool") is not None
