from __future__ import annotations

from types import ModuleType

import pytest

from tools.cuda_sim import cuda_sim_module


@pytest.fixture(scope="session")
def kernels() -> ModuleType:
    """Small kernels with known results, costs and faults."""
    return cuda_sim_module("cuda_sim_selftest")
