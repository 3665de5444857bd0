"""What malloc does with freed memory, and the page size of large tensors.

defines: pages, huge, HUGE_PAGES

Both determine the cost of large results.
"""

from __future__ import annotations

import ctypes
import os
import resource

import torch

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # torch's CPU allocator reads it once, at first use

# mallopt options, from malloc.h of the GNU C library
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4


def pages(mode: str) -> bool:
    """Set malloc's treatment of freed memory for the rest of the process.

    "reused": malloc keeps all memory, so only the first call has page faults.
    "returned": malloc returns every block at once, so resident memory is the memory in use.
    By default the C library gets new pages for each block over 32 MB.
    Returns False if the C library does not support it.
    """
    settings = {
        "reused": [(_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 << 20)],
        "returned": [(_M_MMAP_THRESHOLD, 64 << 10), (_M_TRIM_THRESHOLD, 0)],
    }[mode]
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(option, value) == 1 for option, value in settings)


def huge() -> bool:
    """Make torch's CPU allocator request huge pages, as our outputs always do.

    Call it before the first tensor of the process. Returns whether a large tensor causes few page
    faults. It does not if torch is too old, the system has no huge pages, or the call is too late.
    """
    os.environ[HUGE_PAGES] = "1"
    size = 64 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(size, dtype=torch.uint8)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return faults < size / resource.getpagesize() / 4
