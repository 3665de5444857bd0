"""What a figure was taken on: processor, threads, versions, date, and how busy the machine was.

defines: describe, slug
"""

from __future__ import annotations

import datetime
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def _processor() -> dict[str, str]:
    """Model name, family and model number: from /proc/cpuinfo where there is one."""
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


def slug() -> str:
    """File-name form of the processor; a name without a number gets family and model number."""
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
    """Load averages over 1, 5 and 15 minutes, where the system tells."""
    return list(os.getloadavg()) if hasattr(os, "getloadavg") else None


def describe() -> dict[str, Any]:
    """Everything that a reader needs to repeat or to doubt a figure."""
    return {
        "device": "cpu",
        "cpu": _processor(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "isa": {
            "all": torch.ops.fnet_kernels.cpu_isas().split(","),
            "auto": torch.ops.fnet_kernels.cpu_isa(),
        },
        "versions": {
            "fnet_kernels": _version("fnet_kernels"),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "libc": " ".join(platform.libc_ver()).strip(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "load_at_start": load(),
    }
