"""What the library keeps between calls."""

from __future__ import annotations

from fnet_kernels._ops.load import operators


def clear_caches() -> None:
    """Free the memory that the CPU kernels keep between calls.

    They keep the tables of each length that was used and, for each thread that called an operator,
    its last workspace, up to 64 MB. The tables of lines take up to 96 MB in float32 and in float64,
    those of lines in parts as well; the tables of a single length may exceed that. This function
    frees all tables and the workspace of the calling thread; another thread's workspace is freed
    when that thread ends. Later calls rebuild what they need. Results do not change. It may run
    while other threads compute. The CUDA kernels keep nothing.

    >>> import fnet_kernels
    >>> fnet_kernels.clear_caches()
    """
    operators.clear_caches()
