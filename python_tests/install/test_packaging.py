"""The build: it uses stable ABIs and the installed torch, and its errors are one sentence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fnet_kernels
from fnet_kernels._ops.load import extension
from python_tests.helpers.paths import ROOT
from python_tests.helpers.symbols import foreign_symbols, library_with_undefined

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler here")
needs_elf = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files")


@needs_elf
@needs_compiler
def test_the_extension_needs_only_stable_symbols(stable_symbols: set[str]) -> None:
    needed = foreign_symbols(Path(str(extension.__file__)))
    assert {"PyModule_Create2", "aoti_torch_library_init_def"} <= needed, "the parser finds symbols"
    assert needed <= stable_symbols


@needs_elf
@needs_compiler
@pytest.mark.parametrize(
    "symbol",
    [
        "torch_exception_get_what",  # in torch's headers, but since 2.13
        "torch_library_def_with_tags",  # since 2.12
        "aoti_torch_no_such_function",
        "PyUnicode_AsUTF8",  # in the limited API since 3.13
        "PyUnicode_FromKindAndData",  # never in it
        "_ZN3c105ErrorD1Ev",  # c10::Error::~Error()
        "_ZN2at9fft_rfft2",
    ],
)
def test_an_unstable_symbol_is_found(symbol: str, stable_symbols: set[str], tmp_path: Path) -> None:
    library = library_with_undefined(tmp_path, symbol, "PyModule_Create2", "torch_parallel_for")
    assert foreign_symbols(library) - stable_symbols == {symbol}


def test_one_build_serves_every_python() -> None:
    assert Path(str(extension.__file__)).name == "_C.abi3.so"


def test_the_package_carries_its_type_marker() -> None:
    assert Path(str(fnet_kernels.__file__)).with_name("py.typed").exists()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the files that the build reads before it compiles."""
    for name in ("setup.py", "pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "build_backend", tmp_path / "build_backend")
    (tmp_path / "fnet_kernels").mkdir()
    shutil.copy(ROOT / "fnet_kernels" / "__init__.py", tmp_path / "fnet_kernels")
    return tmp_path


def first_hook(project: Path, world: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the hook that an installer calls first, after the Python code `world`."""
    script = f"""
import sys, types
{world}
from build_backend import fnet_build_backend
print("requires:", fnet_build_backend.get_requires_for_build_wheel())
"""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=project,
        env={**os.environ, "PYTHONPATH": ".", **variables},
        text=True,
        capture_output=True,
    )


OLD_TORCH = """
sys.modules["torch"] = torch = types.ModuleType("torch")
torch.__version__, torch.__spec__ = "2.10.1+cpu", True
"""
BROKEN_TORCH = """
open("torch.py", "w").write("raise ImportError('libtorch is not here')")
"""

#: Runs setup.py without building, on a machine that claims to have another processor.
SETUP = """
import platform, sys
platform.machine = lambda: {machine!r}
sys.argv = ["setup.py", "--version"]
exec(compile(open("setup.py").read(), "setup.py", "exec"), {{"__file__": "setup.py"}})
"""


@pytest.mark.parametrize(
    ("world", "variables", "says"),
    [
        (
            "sys.modules['setuptools'] = None",
            {},
            "torch is not installed .* `pip install torch` first",
        ),
        ("import setuptools; setuptools.__version__ = '65.5.0'", {}, "65.5.0 is too old: .*>=77"),
        ("sys.modules['torch'] = None", {}, "torch is not installed .* `pip install torch` first"),
        (OLD_TORCH, {}, "torch 2.10.1\\+cpu is too old: run `pip install 'torch>=2.11'`"),
        (BROKEN_TORCH, {}, "does not import \\(libtorch is not here\\): run"),
        ("", {"CXX": "/nowhere/c++"}, "C\\+\\+ compiler `/nowhere/c\\+\\+` was not found: install"),
        ("", {"CXX": "false"}, "`false` does not compile C\\+\\+20: install"),
    ],
)
def test_a_missing_requirement_stops_with_one_sentence(
    world: str, variables: dict[str, str], says: str, project: Path
) -> None:
    done = first_hook(project, world, **variables)
    assert done.returncode == 1
    assert "requires:" not in done.stdout
    assert re.fullmatch(f"fnet_kernels: .*{says}.*\n", done.stderr)


@needs_compiler
def test_a_complete_environment_requires_nothing_more(project: Path) -> None:
    done = first_hook(project, "")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("requires: []\n")


@needs_compiler
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_a_processor_without_specific_kernels_is_reported(machine: str, project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP.format(machine=machine)],
        cwd=project,
        env={**os.environ, "FNET_CUDA": "0"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    named = [line for line in done.stdout.splitlines() if "portable" in line]
    line = "fnet_kernels: portable C++ kernels: none are specific to riscv64"
    assert named == [line] * (machine == "riscv64")


@needs_compiler
@pytest.mark.parametrize(
    "how", [".", "-e .", "--no-build-isolation .", "--no-build-isolation -e ."]
)
def test_every_way_to_build_finds_the_installed_torch(how: str, project: Path) -> None:
    pytest.importorskip("pip")
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--dry-run"]
    done = subprocess.run([*command, *how.split()], cwd=project, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Would install fnet_kernels-{fnet_kernels.__version__}" in done.stdout
