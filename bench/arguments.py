"""What the commands share: types of arguments, and an exit status.

defines: positive, duration, INTERRUPTED
"""

from __future__ import annotations

import argparse
import math

INTERRUPTED = 130  # the exit status after Ctrl-C, as shells count
_DIGITS = 9


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
