"""What malloc does with freed memory: it decides whether large results cost page faults.

defines: pages
"""

from __future__ import annotations

import ctypes

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
