"""Python access to the simulator of csrc/cuda_sim: its modules, and NumPy arrays of its dtypes.

defines: cuda_sim_module, store, STORAGE
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
STORAGE: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.uint16),  # the bits of bfloat16
}


def cuda_sim_module(name: str) -> ModuleType:
    """Import the module `name`, building it in build/cuda_sim if it is not on sys.path."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        folder = ROOT / "build" / "cuda_sim"
        source = ROOT / "csrc" / "cuda_sim"
        python = f"-DPython_EXECUTABLE={sys.executable}"
        subprocess.run(["cmake", "-S", source, "-B", folder, python], check=True)
        subprocess.run(["cmake", "--build", folder], check=True)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        return importlib.import_module(name)


def store(values: np.ndarray, dtype: str) -> np.ndarray:
    """Round `values` to `dtype`."""
    if dtype != "bfloat16":
        return values.astype(STORAGE[dtype])
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
