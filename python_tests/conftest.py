from __future__ import annotations

import sysconfig

import pytest
import torch
from symbols import declared
from torch.utils.cpp_extension import include_paths


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def promised() -> set[str]:
    """Names in torch's stable C ABI as of 2.11 and in CPython's limited API as of 3.10."""
    torch_paths = [f"-I{path}" for path in include_paths()]
    target = ["-DTORCH_TARGET_VERSION=0x020B000000000000", "-DUSE_CUDA"]
    torch_abi = declared("torch/csrc/stable/c/shim.h", *target, *torch_paths)
    python_path = f"-I{sysconfig.get_path('include')}"
    python_abi = declared("Python.h", "-DPy_LIMITED_API=0x030A0000", python_path)
    return torch_abi | python_abi
