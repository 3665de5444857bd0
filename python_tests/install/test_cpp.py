"""Models served by a C++ program without Python: examples/cpp/serve.cpp with the torch wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.cpp_extension import include_paths, library_paths

from fnet_kernels import FNetEncoderLayer, FourierMix
from fnet_kernels._ops.library import CUDA_KERNELS, KERNELS
from fnet_kernels._ops.load import LIBRARIES
from python_tests.helpers.paths import ROOT
from python_tests.helpers.symbols import COMPILER, foreign_symbols

SHAPE = (2, 96, 64)
pytestmark = [
    pytest.mark.skipif(shutil.which(COMPILER[-1]) is None, reason="no C++ compiler here"),
    pytest.mark.filterwarnings("ignore"),  # torch.jit is deprecated, yet servers use it
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("cpp") / "serve"
    command = [*COMPILER, "-std=c++20", str(ROOT / "examples" / "cpp" / "serve.cpp")]
    command += [f"-isystem{path}" for path in include_paths()]
    for path in library_paths():
        command += [f"-L{path}", f"-Wl,-rpath,{path}"]
    command += ["-Wl,--no-as-needed", "-ltorch_cpu", "-lc10", "-ldl", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(FNetEncoderLayer(64, 128), FourierMix()).eval()


@pytest.fixture
def traced(model: nn.Module, tmp_path: Path) -> Path:
    file = tmp_path / "model.pt"
    with torch.no_grad():
        torch.jit.trace(model, example()).save(file)
    return file


@torch.no_grad()
def expected(model: nn.Module) -> Tensor:
    result: Tensor = model(example())
    return result


def example() -> Tensor:
    """The input of the program."""
    return torch.linspace(-1, 1, 2 * 96 * 64).reshape(SHAPE)


def serve(program: Path, model: Path, library: Path = LIBRARIES / KERNELS) -> Tensor:
    done = subprocess.run(
        [program, library, model, *map(str, SHAPE)],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    return torch.frombuffer(bytearray(done.stdout), dtype=torch.float32).reshape(SHAPE)


@pytest.mark.parametrize("name", [KERNELS, CUDA_KERNELS])
def test_the_libraries_need_nothing_of_python(name: str) -> None:
    if not (LIBRARIES / name).exists():
        pytest.skip("not compiled: make cuda-build")
    needed = foreign_symbols(LIBRARIES / name)
    assert len(needed) > 10, "the parser finds symbols"
    assert not [symbol for symbol in needed if symbol.startswith(("Py", "_Py"))]


def test_a_traced_model_gives_the_same_bits(program: Path, model: nn.Module, traced: Path) -> None:
    assert torch.equal(serve(program, traced), expected(model))


class Scripted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.fnet_kernels.fused_fourier_mix(x, None, None, 1e-12, 1.0)
        return y


def test_a_scripted_model_gives_the_same_bits(program: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.jit.script(Scripted()).save(file)
    assert torch.equal(serve(program, file), expected(Scripted()))


def test_without_the_library_the_operators_are_unknown(program: Path, traced: Path) -> None:
    with pytest.raises(AssertionError, match="Unknown builtin op: fnet_kernels::fused_fourier_mix"):
        serve(program, traced, library=Path("libdl.so.2"))


@pytest.mark.skipif("FNET_SLOW_TESTS" not in os.environ, reason="compiles for a minute")
def test_an_aotinductor_package_is_served(program: Path, model: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "model.pt2"
    with torch.no_grad():
        exported = torch.export.export(model, (example(),))
        torch._inductor.aoti_compile_and_package(exported, package_path=str(file))
    torch.testing.assert_close(serve(program, file), expected(model), rtol=1e-5, atol=1e-4)
