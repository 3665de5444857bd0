"""What goes wrong outside of the program, in one sentence each.

defines: writing
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """End the program with one sentence if a file cannot be written, as on a full disk."""
    try:
        yield
    except OSError as error:
        raise SystemExit(f"cannot write {path}: {error.strerror or error}") from None
