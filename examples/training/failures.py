"""What goes wrong outside of the program, in one sentence each.

defines: writing
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
