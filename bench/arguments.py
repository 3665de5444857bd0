"""What the commands share: types of arguments, an exit status, and the way to run a main.

defines: positive, duration, run_main, INTERRUPTED
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import NoReturn

from fnet_kernels.cli.pipes import pipe_may_close

INTERRUPTED = 130  # the exit status after Ctrl-C, as shells count
_DIGITS = 9


def run_main(main: Callable[..., int], *args: object) -> NoReturn:
    """Exit with the status of `main`, 130 after Ctrl-C, or 1 silently after a closed pipe."""
    status: int | str | None
    try:
        with pipe_may_close():
            try:
                status = main(*args)
            except SystemExit as end:  # after --help, whose text the pipe has to take as well
                status = end.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)


def positive(text: str) -> int:
    """A count or a size, such as that of --rounds or --hidden."""
    if not text.isdecimal() or len(text) > _DIGITS or int(text) < 1:
        message = f"{text!r}: expected a positive integer of at most {_DIGITS} digits"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def duration(text: str) -> float:
    """Seconds: finite, and at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a finite number of at least 0")
    return value
