"""Code that runs once another module has been imported."""

import importlib
import sys
from pathlib import Path

import pytest

from fnet_kernels._ops.on_import import after_import


def test_actions_follow_the_import_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "module_that_others_wait_for"
    (tmp_path / f"{name}.py").write_text("ready = True\n")
    monkeypatch.syspath_prepend(tmp_path)
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
