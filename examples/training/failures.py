"""What goes wrong outside of the program, in one sentence each, and a lock against other programs.

defines: discard_parts, lock, replacing, writing
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO
from uuid import uuid4

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
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")  # another may write the same file
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


def discard_parts(folder: Path) -> None:
    """Remove what killed processes left in a folder: files that `replacing` did not complete."""
    for part in folder.glob(f"*.{'[0-9a-f]' * 32}.part"):
        part.unlink(missing_ok=True)


def lock(path: Path, *, wait: bool = False) -> TextIO:
    """Lock a file until the one returned is closed, or the process ends in any way.

    The file is made if it does not exist, and its folder.

    Args:
        path: of a file that is never replaced.
        wait: until the lock is free.

    Raises:
        BlockingIOError: the lock is not free, and `wait` is false.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems have no locks: there, nobody is kept out.
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            file.close()
            raise
    return file
