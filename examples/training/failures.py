"""What goes wrong outside of the program, in one sentence each.

defines: replacing, writing
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_ERRORS: tuple[type[Exception], ...] = (OSError,)
try:
    from safetensors import SafetensorError
except ImportError:
    pass
else:
    _ERRORS = (OSError, SafetensorError)  # its own, also for a full disk


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """End the program with one sentence if a file cannot be written, as on a full disk."""
    try:
        yield
    except _ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise SystemExit(f"cannot write {path}: {reason}") from None


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when it is complete; a crash leaves the old one.

    The folder is made if it does not exist. An error ends the program as in `writing`.
    """
    part = path.with_name(f"{path.name}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
