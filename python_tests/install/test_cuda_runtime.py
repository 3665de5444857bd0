"""What our calls to the CUDA runtime do to its error state, against a pretended runtime."""

from __future__ import annotations

import subprocess
from pathlib import Path

import fnet_nvcc
import pytest

from python_tests.helpers.paths import ROOT

HERE = Path(__file__).parent / "cuda_runtime"
TOOLKIT = fnet_nvcc.find_toolkit()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pending_errors.cu and our runtime.cu, linked to the pretended runtime."""
    if TOOLKIT is None:
        pytest.skip("there is no nvcc here")
    folder = tmp_path_factory.mktemp("cuda_runtime")
    pretended, program = folder / "pretended.o", folder / "program"
    source = str(HERE / "pretended_runtime.cpp")
    subprocess.run(["c++", "-std=c++20", "-c", source, "-o", pretended], check=True)
    command = [TOOLKIT.nvcc, "-std=c++20", "--expt-relaxed-constexpr", "-cudart", "none"]
    command += ["-gencode=arch=compute_80,code=sm_80", f"-I{ROOT / 'csrc'}", str(pretended)]
    command += [str(HERE / "pending_errors.cu"), str(ROOT / "csrc" / "cuda" / "runtime.cu")]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def test_an_error_of_another_library_stays_and_ours_is_taken(program: Path) -> None:
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "all well: launch 0, pending 0; 64 processors, pending 0",
        "another's error: launch 0, pending 719; 64 processors, pending 719",
        "ours: launch 98, pending 0; 16 processors, pending 0",
    ]
