"""The conditions of a measurement: processor, threads, versions, date and other programs.

defines: describe, is_busy, load, others, save, slug, title
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import fnet_kernels
from bench.written import write_json

_BUSY = 0.25  # cores used by other programs
_BUSY_LOAD = 0.5  # load average over a minute
_PACKAGES = ("numpy", "scipy", "pyfftw", "cupy", "transformers")  # contestants' packages


def _processor() -> dict[str, str]:
    """Name, family and model of the processor, from /proc/cpuinfo if it exists."""
    fields = {"model name": "name", "cpu family": "family", "model": "model"}
    found: dict[str, str] = {}
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in fields:
                found.setdefault(fields[key.strip()], value.strip())
    found.setdefault("name", platform.processor() or platform.machine())
    return found


def _caches() -> dict[str, str]:
    """Cache sizes of the first CPU as Linux reports them: {"L1 Data": "48K", ...}."""
    found = {}
    for cache in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        parts = [cache / name for name in ("level", "type", "size")]
        if all(part.exists() for part in parts):
            level, kind, size = (part.read_text().strip() for part in parts)
            found[f"L{level} {kind}"] = size
    return found


def slug() -> str:
    """The processor as a file name. Family and model are added to a name without a number."""
    cpu = _processor()
    name = cpu["name"]
    if not re.search(r"\d", name) and "family" in cpu:
        name += f" f{cpu['family']}m{cpu.get('model', '')}"
    name = re.sub(r"\((r|tm)\)|\bcpu\b|@.*", " ", name.lower())
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def load() -> list[float] | None:
    """Load averages over 1, 5 and 15 minutes, or None if the system has none."""
    return list(os.getloadavg()) if hasattr(os, "getloadavg") else None


def others(seconds: float = 0.5) -> float | None:
    """How many cores other programs use, measured while this thread sleeps.

    A load average is not enough: it includes what this process, or the step before it, did in the
    last minutes. None without /proc/stat.
    """
    before = _worked()
    time.sleep(seconds)
    after = _worked()
    if before is None or after is None:
        return None
    return (after - before) / os.sysconf("SC_CLK_TCK") / seconds


def _worked() -> int | None:
    """Ticks in which the cores worked since the start of the system."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _iowait, *interrupts = map(int, stat.read_text().split()[1:8])
    return user + nice + system + sum(interrupts)


def is_busy(facts: dict[str, Any]) -> bool:
    """Whether other programs ran when `facts` were described."""
    cores = facts.get("others_at_start")
    if cores is None:  # a system that does not say it, or an older record
        return bool((facts["load_at_start"] or [0.0])[0] > _BUSY_LOAD)
    return bool(cores > _BUSY)


def save(folder: Path, kind: str, facts: dict[str, Any], began: float, **content: Any) -> str:
    """Write `<cpu>-<kind>.json`: the machine at the start and now, and `content`.

    `began` is the `time.monotonic()` of the start. Returns a line that says where. Print it after
    this call: a closed pipe then does not cost the file.
    """
    facts |= {"load_at_end": load(), "wall_seconds": round(time.monotonic() - began)}
    path = folder / f"{slug()}-{kind}.json"
    write_json(path, {"machine": facts, **content})
    return f"written: {path}, after {facts['wall_seconds']} s"


def title(facts: dict[str, Any]) -> str:
    """A heading: processor, instruction set, threads and torch version."""
    torch_version = f"torch {facts['versions']['torch']}"
    if "gpu" in facts:
        return f"{facts['gpu']['name']}, {torch_version}"
    threads = facts["threads"]
    plural = "s" * (threads != 1)
    cpu = facts["cpu"]["name"]
    return f"{cpu}, {facts['isa']['auto']}, {threads} thread{plural}, {torch_version}"


def _gpu() -> dict[str, Any]:
    """The CUDA device that torch uses."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "memory_mib": properties.total_memory >> 20,
        "cuda": torch.version.cuda,
    }


def describe(device: str = "cpu") -> dict[str, Any]:
    """Everything needed to reproduce a measurement, as a JSON object."""
    return {
        "device": device,
        **({"gpu": _gpu()} if device == "cuda" else {}),
        "cpu": _processor(),
        "caches": _caches(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "isa": {
            "all": torch.ops.fnet_kernels.cpu_isas().split(","),
            "auto": torch.ops.fnet_kernels.cpu_isa(),
        },
        "versions": {
            "fnet_kernels": fnet_kernels.__version__,
            "torch": torch.__version__,
            **{name: _version(name) for name in _PACKAGES},
            "python": platform.python_version(),
            "libc": " ".join(platform.libc_ver()).strip(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "load_at_start": load(),
        "others_at_start": others(),
    }
