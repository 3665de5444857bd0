"""What malloc does with freed memory, and how large its pages are: what large results cost.

defines: pages, huge, HUGE_PAGES
"""

from __future__ import annotations

import ctypes
import os
import resource

import torch

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # read by torch's CPU allocator, once, when it is first used

# mallopt options, from malloc.h of the GNU C library
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4


def pages(mode: str) -> bool:
    """Tell malloc what to do with freed memory, from here on, for every contestant alike.

    "reused": keep all of it; no call pays for page faults after the first.
    "returned": give every block back at once, so that resident memory shows what is held.
    Without a call: the C library's default, in which a block over 32 MB is fresh pages each time.
    Returns False where the C library has no such switch.
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
    """Have torch's CPU allocator ask for huge pages, for every contestant alike: ours do anyway.

    Has to come before the first tensor of the process. Returns whether large tensors come with
    few page faults: False where torch is too old, the system has no huge pages, or it is too late.
    """
    os.environ[HUGE_PAGES] = "1"
    size = 64 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(size, dtype=torch.uint8)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return faults < size / resource.getpagesize() / 4
