"""TensorBoard, where it is installed.

defines: Board
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.training.failures import writing


class Board:
    """Scalars for TensorBoard; does nothing where it is not installed.

    Args:
        folder: of the event files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        _hide_errors_of_the_writer()
        with writing(folder):
            self._writer = SummaryWriter(str(folder))

    def add(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add the floats of a record."""
        if self._writer is None:
            return
        with writing(self._folder):
            for name, value in values.items():
                if isinstance(value, float):
                    self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        if self._writer is not None:
            with writing(self._folder):
                self._writer.close()


def _hide_errors_of_the_writer() -> None:
    """The thread that writes the events raises its error again in the thread that adds one."""
    report = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not type(args.thread).__module__.startswith("tensorboard"):
            report(args)

    threading.excepthook = hook
