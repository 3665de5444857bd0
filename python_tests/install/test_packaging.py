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
from fnet_kernels._ops.library import KERNELS
from fnet_kernels._ops.load import LIBRARIES
from python_tests.helpers.paths import ROOT
from python_tests.helpers.symbols import foreign_symbols, library_with_undefined

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler here")
needs_elf = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF files")


@needs_elf
@needs_compiler
def test_the_extension_needs_only_stable_symbols(stable_symbols: set[str]) -> None:
    needed = foreign_symbols(LIBRARIES / KERNELS)
    assert "aoti_torch_library_init_def" in needed, "the parser finds symbols"
    assert needed <= stable_symbols


@needs_elf
@needs_compiler
@pytest.mark.parametrize(
    "symbol",
    [
        "torch_exception_get_what",  # in torch's headers, but since 2.13
        "torch_library_def_with_tags",  # since 2.12
        "aoti_torch_no_such_function",
        "PyModule_Create2",  # C++ programs have no Python
        "_ZN3c105ErrorD1Ev",  # c10::Error::~Error()
        "_ZN2at9fft_rfft2",
    ],
)
def test_an_unstable_symbol_is_found(symbol: str, stable_symbols: set[str], tmp_path: Path) -> None:
    library = library_with_undefined(tmp_path, symbol, "torch_parallel_for")
    assert foreign_symbols(library) - stable_symbols == {symbol}


def test_the_package_carries_its_type_marker() -> None:
    assert Path(str(fnet_kernels.__file__)).with_name("py.typed").exists()


def copy_project(folder: Path) -> Path:
    """Copy the files that the build reads before it compiles."""
    (folder / "fnet_kernels").mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "LICENSE", "README.md", "fnet_kernels/__init__.py"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "build_backend", folder / "build_backend")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


def run_hooks(
    project: Path, world: str, hooks: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Call hooks of the backend as an installer does, after the Python code `world`."""
    script = f"""
import sys, types
{world}
from build_backend import fnet_build_backend as backend
{hooks}
"""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=project,
        env={**os.environ, "PYTHONPATH": ".", **variables},
        text=True,
        capture_output=True,
    )


FIRST_HOOK = "print('requires:', backend.get_requires_for_build_wheel())"
NO_TORCH = "sys.modules['torch'] = None"
NO_SETUPTOOLS = "sys.modules['setuptools'] = None"
OLD_SETUPTOOLS = "import setuptools; setuptools.__version__ = '65.5.0'"
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
from build_backend.fnet_checks import name_processor
name_processor()
"""


@pytest.mark.parametrize(
    ("world", "variables", "says"),
    [
        (OLD_TORCH, {}, "torch 2.10.1\\+cpu is too old: run `pip install 'torch>=2.11'`"),
        (BROKEN_TORCH, {}, "does not import \\(libtorch is not here\\): run"),
        ("", {"CXX": "/nowhere/c++"}, "C\\+\\+ compiler `/nowhere/c\\+\\+` was not found: install"),
        ("", {"CXX": "false"}, "`false` does not compile C\\+\\+20: install"),
    ],
)
def test_a_broken_environment_stops_with_one_sentence(
    world: str, variables: dict[str, str], says: str, project: Path
) -> None:
    done = run_hooks(project, world, FIRST_HOOK, **variables)
    assert done.returncode == 1
    assert "requires:" not in done.stdout
    assert re.fullmatch(f"fnet_kernels: .*{says}.*\n", done.stderr)


@needs_compiler
@pytest.mark.parametrize(
    ("world", "requires"),
    [
        ("", []),
        (NO_TORCH, ["torch>=2.11", "ninja"]),
        (OLD_SETUPTOOLS, ["setuptools>=77.0.3"]),
        (f"{NO_SETUPTOOLS}; {NO_TORCH}", ["setuptools>=77.0.3", "torch>=2.11", "ninja"]),
    ],
)
def test_the_front_end_is_asked_for_what_the_environment_lacks(
    world: str, requires: list[str], project: Path
) -> None:
    done = run_hooks(project, world, FIRST_HOOK)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"requires: {requires}\n"


@pytest.mark.parametrize(
    ("world", "hook", "says"),
    [
        (NO_SETUPTOOLS, "build_sdist", "setuptools is not installed: run `pip install 'setuptool"),
        (OLD_SETUPTOOLS, "build_wheel", "setuptools 65.5.0 is too old: run `pip install 'setupto"),
        (NO_TORCH, "build_wheel", "torch does not import"),
    ],
)
def test_without_isolation_the_build_says_what_is_missing(
    world: str, hook: str, says: str, project: Path
) -> None:
    done = run_hooks(project, world, f"backend.{hook}('.')")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"fnet_kernels: {says}")


def test_metadata_and_source_distributions_need_no_torch(project: Path) -> None:
    hooks = "backend.prepare_metadata_for_build_wheel('.'), backend.build_sdist('.')"
    done = run_hooks(project, NO_TORCH, f"print(backend.get_requires_for_build_sdist(), {hooks})")
    assert done.returncode == 0, done.stderr
    name = f"fnet_kernels-{fnet_kernels.__version__}"
    assert done.stdout.endswith(f"[] {name}.dist-info {name}.tar.gz\n")
    metadata = (project / f"{name}.dist-info" / "METADATA").read_text()
    assert "\nRequires-Dist: torch>=2.11\n" in metadata


def test_one_version_in_every_file() -> None:
    for file, pattern in (
        ("pyproject.toml", r'^version = "(.*?)"'),
        ("CITATION.cff", "^version: (.*)$"),
    ):
        found = re.search(pattern, (ROOT / file).read_text(), re.MULTILINE)
        assert found is not None
        assert found[1].strip('"') == fnet_kernels.__version__, file


#: Checks that its arguments name files, and writes empty results.
CHECKING_COMPILER = """#!/bin/sh
for word; do
  if [ "$before" = -o ]; then : > "$word"; fi
  case $word in *.cpp|*.o) [ -e "$word" ] || exit 1;; esac
  before=$word
done
"""


def test_a_path_with_spaces(tmp_path: Path) -> None:
    """The compiler gets each path as one argument."""
    folder = copy_project(tmp_path / "a path with spaces")
    shutil.copytree(ROOT / "csrc", folder / "csrc")
    compiler = tmp_path / "c++"
    compiler.write_text(CHECKING_COMPILER)
    compiler.chmod(0o755)
    build = ["setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(
        [sys.executable, *build],
        cwd=folder,
        env={**os.environ, "CXX": str(compiler), "FNET_CUDA": "0"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "fnet_kernels" / "lib" / KERNELS).exists()


def test_cmake_takes_no_path_for_a_pattern(tmp_path: Path) -> None:
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("no CMake or no C++ compiler here")
    folder = tmp_path / "c++ (core)"
    folder.mkdir()
    shutil.copy(ROOT / "CMakeLists.txt", folder)
    shutil.copytree(ROOT / "csrc", folder / "csrc")
    command = [cmake, "-S", str(folder), "-B", str(folder / "build")]
    command += [f"-DPython_EXECUTABLE={sys.executable}", "-DFNET_CORE_OBJECTS=/objects"]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    rules = "".join(path.read_text() for path in (folder / "build").rglob("*.make"))
    assert "/objects/csrc/cpu/simd/kernels_avx2.o" in rules


def test_a_module_of_an_earlier_build_is_not_packed(project: Path) -> None:
    library = project / "built"
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(library)]
    for name in ("removed.py", "lib/kept.so"):
        path = library / "fnet_kernels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    done = subprocess.run(build, cwd=project, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    files = {path.name for path in library.rglob("*") if path.is_file()}
    assert files == {"__init__.py", "kept.so"}


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


# `make install` builds with "--no-build-isolation -e .".
@needs_compiler
@pytest.mark.parametrize("how", [".", "-e .", "--no-build-isolation ."])
def test_every_way_to_build_finds_the_installed_torch(how: str, project: Path) -> None:
    pytest.importorskip("pip")
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--dry-run"]
    done = subprocess.run([*command, *how.split()], cwd=project, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Would install fnet_kernels-{fnet_kernels.__version__}" in done.stdout
