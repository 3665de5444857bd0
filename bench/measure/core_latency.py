"""Core-to-core latency: nanoseconds for a value to reach another core and return.

defines: core_to_core_ns, share_a_cache

About 50 to 150 ns if the two cores share a cache, over 300 ns if they are on different chiplets.
A host may move virtual CPUs every minute. Sequences that both cores work on take up to 1.6 times as
long on cores without a common cache. The measurement is in fnet_core_bench, which CMake builds
(`make core`).
"""

from __future__ import annotations

import importlib
import os


def core_to_core_ns() -> int | None:
    """The round-trip latency. None if fnet_core_bench is not built or the process has one core."""
    if len(os.sched_getaffinity(0)) < 2:
        return None
    try:
        module = importlib.import_module("fnet_core_bench")
    except ImportError:
        return None
    latency: float = module.core_to_core_ns()
    return round(latency)


def share_a_cache(ns: int | None) -> bool:
    """Whether cores with this latency share a cache; assumed if the latency is unknown."""
    return ns is None or ns < 250
