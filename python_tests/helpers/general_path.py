"""Choosing the path of the operators on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fnet_kernels._ops.load import operators


@contextmanager
def on_the_general_path() -> Iterator[None]:
    """All lengths take torch's FFT."""
    operators.set_cpu_path("general")
    try:
        yield
    finally:
        operators.set_cpu_path("auto")
