from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch.utils.cpp_extension import include_paths

from python_tests.helpers.forks import Forks
from python_tests.helpers.symbols import declared

#: The files that take longest, a minute or more each.
LONGEST = (
    "test_gpu_rehearsal.py",
    "test_onnx_export.py",
    "test_kernel_mutants.py",
    "test_accuracy.py",
    "test_bench.py",
    "test_packaging.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that parallel workers end together."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def stable_symbols() -> set[str]:
    """The symbols of torch's stable C ABI as of 2.11."""
    torch_paths = [f"-I{path}" for path in include_paths()]
    target = ["-DTORCH_TARGET_VERSION=0x020B000000000000", "-DUSE_CUDA"]
    headers = ("stable/c/shim.h", "inductor/aoti_torch/generated/c_shim_aten.h")  # of stable/ops.h
    found = (declared(f"torch/csrc/{header}", *target, *torch_paths) for header in headers)
    return set().union(*found)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Runs scripts in processes that have imported torch."""
    made = Forks()
    yield made
    made.close()


@pytest.fixture
def each_isa() -> Iterator[Callable[[], Iterator[str]]]:
    """Iterates over the instruction sets of this machine; each is active for its iteration."""
    from fnet_kernels._ops.load import operators

    def each() -> Iterator[str]:
        for isa in operators.cpu_isas().split(","):
            operators.set_cpu_isa(isa)
            yield isa
        operators.set_cpu_isa(before)

    before = operators.cpu_isa()
    yield each
    operators.set_cpu_isa(before)


@pytest.fixture
def general_path() -> Iterator[None]:
    """All lengths take the general path on a CPU."""
    from python_tests.helpers.general_path import on_the_general_path

    with on_the_general_path():
        yield


@pytest.fixture
def threads_restored() -> Iterator[None]:
    """Restore torch's number of threads after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread(threads_restored: None) -> None:
    """Use one thread: for many small calls a thread pool is slow on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture
def mixers_restored() -> Iterator[None]:
    """Forget the mixers that the test registers."""
    from fnet_kernels.mixers import registry

    before = dict(registry._factories)
    yield
    registry._factories.clear()
    registry._factories.update(before)
