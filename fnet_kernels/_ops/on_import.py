"""Runs code after another module has been imported, whoever imports it.

Registering with the slow parts of torch (`torch.onnx`, `torch.distributed.tensor`) requires
importing them. Programs that do not use them do not pay for the import.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def after_import(name: str, action: Callable[[], None]) -> None:
    """Call `action` now if the module `name` is imported, else at the end of its import."""
    if name in sys.modules:
        _act(name, action)
    else:
        sys.meta_path.insert(0, _AfterImport(name, action))


def _act(name: str, action: Callable[[], None]) -> None:
    """Call `action`. What it lacks in a later torch must not fail the import of `name`."""
    try:
        action()
    except (ImportError, AttributeError, TypeError) as error:
        warnings.warn(f"fnet_kernels does not know {name} of this torch: {error}", stacklevel=2)


def _finds(finder: Any) -> bool:
    return hasattr(finder, "find_spec")


class _AfterImport(MetaPathFinder):
    """Finds one module where the finders after it do, and adds a step to its execution."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self.name = name
        self.action = action

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        # As importlib does: a finder older than PEP 451 has no `find_spec`.
        specs = (other.find_spec(name, path, target) for other in others if _finds(other))
        spec = next(filter(None, specs), None)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_act(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == self.name and self in sys.meta_path:  # a loader may load several
                sys.meta_path.remove(self)
                _act(self.name, self.action)

        spec.loader.exec_module = execute_and_act  # type: ignore[method-assign]
        return spec
