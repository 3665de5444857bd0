"""The wheel contains only the library; the sdist contains what a build needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from python_tests.helpers.paths import ROOT

IMPORT_ALL = """
import importlib, pkgutil, pathlib, sys
import fnet_kernels
print(pathlib.Path(fnet_kernels.__file__).parent)
for module in pkgutil.walk_packages(fnet_kernels.__path__, "fnet_kernels."):
    if module.name in sys.argv[1:]:
        continue
    importlib.import_module(module.name)
    print(module.name)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built with the objects in build/objects."""
    folder = tmp_path_factory.mktemp("distributions")
    build = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(folder)]
    build += ["build", "--build-base", str(folder / "build")]
    pack = [*build, "bdist_wheel", "--skip-build", "--bdist-dir", str(folder / "bdist")]
    pack += ["--dist-dir", str(folder), "sdist", "--dist-dir", str(folder)]
    # Two processes: a second build_ext in one process repeats its flags and recompiles everything.
    for command in (build, pack):
        environment = {**os.environ, "FNET_CUDA": "0"}
        done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def modules(folder: Path) -> set[str]:
    """The modules of the source tree, by name."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in folder.rglob("*.py"))
    return {".".join(path.parts).removesuffix(".__init__") for path in paths}


def test_the_wheel_contains_only_the_package(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = (ROOT / "fnet_kernels").rglob("*.py")
    expected = {path.relative_to(ROOT).as_posix() for path in sources}
    assert names == expected | {"fnet_kernels/lib/libfnet_kernels.so", "fnet_kernels/py.typed"}


def test_every_module_of_the_wheel_imports(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("pip")
    pytest.importorskip("transformers")
    target = tmp_path / "target"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    subprocess.run([*command, "--target", str(target), str(wheel)], check=True)
    command_line = "fnet_kernels.__main__"
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, command_line],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    place, *imported = done.stdout.split()
    assert Path(place) == target / "fnet_kernels", "not the source tree"
    expected = modules(ROOT / "fnet_kernels") - {"fnet_kernels", command_line}
    assert set(imported) == expected


def test_the_sdist_contains_what_a_build_needs(built: Path) -> None:
    (found,) = built.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = (*ROOT.glob("csrc/**/*"), *ROOT.glob("build_backend/*.py"))
    needed = {path for path in sources if path.suffix in (".h", ".cpp", ".cu", ".py")}
    needed |= {ROOT / name for name in ("setup.py", "pyproject.toml", "LICENSE", "README.md")}
    needed |= set((ROOT / "fnet_kernels").rglob("*.py")) | {ROOT / "fnet_kernels" / "py.typed"}
    assert {path.relative_to(ROOT).as_posix() for path in needed} <= names
    assert not {name for name in names if name.startswith(("bench/", "python_tests/"))}
    assert not {name for name in names if name.endswith(".so")}
