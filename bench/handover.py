"""How far apart the cores are: nanoseconds for a value to go to another core and back.

defines: handover_ns

Some 50 where two cores have a cache in common, over 300 where they are on different chiplets, which
a host may decide anew every minute: sequences that both work on then take half as long again. From
fnet_core_bench, which CMake builds (`make core`).
"""

from __future__ import annotations

import importlib
import os


def handover_ns() -> int | None:
    """None where fnet_core_bench is not built, or the process has one core alone."""
    if len(os.sched_getaffinity(0)) < 2:
        return None
    try:
        module = importlib.import_module("fnet_core_bench")
    except ImportError:
        return None
    return round(module.handover_ns())
