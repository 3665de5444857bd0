"""How far apart the cores are: nanoseconds for a value to go to another core and back.

defines: handover_ns, near

Some 50 to 150 where two cores have a cache in common, over 300 where they are on different
chiplets, which a host may decide anew every minute: sequences that both work on then take up to
1.6 times as long. From fnet_core_bench, which CMake builds (`make core`).
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
    apart: float = module.handover_ns()
    return round(apart)


def near(ns: int | None) -> bool:
    """Whether cores that far apart have a cache in common; where unknown, it is taken as given."""
    return ns is None or ns < 250
