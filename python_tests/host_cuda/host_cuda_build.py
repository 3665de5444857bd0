"""Finds the modules that run CUDA kernels on the CPU, or builds them with CMake."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def host_cuda_module(name: str) -> ModuleType:
    """The module `name` from sys.path, else one built in build/host_cuda."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        folder = ROOT / "build" / "host_cuda"
        source = ROOT / "csrc" / "host_cuda"
        python = f"-DPython_EXECUTABLE={sys.executable}"
        subprocess.run(["cmake", "-S", source, "-B", folder, python], check=True)
        subprocess.run(["cmake", "--build", folder], check=True)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        return importlib.import_module(name)
