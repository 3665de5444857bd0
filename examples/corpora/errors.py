"""The error of all data: one sentence, without a traceback."""

from __future__ import annotations


class DataError(SystemExit):
    """Data that cannot be used. Uncaught, it ends the program with its sentence and status 1."""
