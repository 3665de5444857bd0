"""Standard output whose reader, for example `head`, may go away.

defines: discard_stdout, pipe_may_close
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def discard_stdout() -> None:
    """Discard what is still printed, after the reader has closed the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def pipe_may_close() -> Iterator[None]:
    """Exit with status 1 and without a word if the reader, for example `head`, closes the pipe.

    Characters that the encoding of the output lacks are printed as escapes.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        if sys.stdout is not None:  # it is None if the program was started without one
            sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
        raise SystemExit(1) from None
