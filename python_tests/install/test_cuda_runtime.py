"""How our calls affect the error state of the CUDA runtime, tested with a fake runtime."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from build_backend import fnet_nvcc
from python_tests.helpers.paths import ROOT

HERE = Path(__file__).parent / "cuda_runtime"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pending_errors.cu, which includes our runtime.cu, linked to the fake runtime."""
    try:
        toolkit = fnet_nvcc.find_toolkit()
    except fnet_nvcc.CannotBuild as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("cuda_runtime")
    runtime, program = folder / "runtime.o", folder / "program"
    source = str(HERE / "fake_runtime.cpp")
    subprocess.run(["c++", "-std=c++20", "-c", source, "-o", runtime], check=True)
    command = [toolkit.nvcc, "-std=c++20", "--expt-relaxed-constexpr", "-cudart", "none"]
    command += ["-gencode=arch=compute_80,code=sm_80", f"-I{ROOT / 'csrc'}", str(runtime)]
    subprocess.run([*command, str(HERE / "pending_errors.cu"), "-o", str(program)], check=True)
    return program


def test_calls_keep_errors_of_other_libraries_and_clear_our_own(program: Path) -> None:
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "no error: launch 0, pending 0; 64 processors, pending 0",
        "error of another library: launch 0, pending 719; 64 processors, pending 719",
        "our error: launch 98, pending 0; 16 processors, pending 0",
    ]


@pytest.mark.parametrize(("ptx", "overlaps"), [("80", "0 0"), ("89", "0 0"), ("90", "1 1")])
def test_code_that_does_not_await_the_previous_kernel_does_not_overlap(
    program: Path, ptx: str, overlaps: str
) -> None:
    done = subprocess.run([program, ptx], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == overlaps
