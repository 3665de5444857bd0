"""Python run in a clone whose package is not built, as after `git clone; cd; pip install .`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fnet_kernels._ops.library import PACKAGE, python_files
from fnet_kernels._ops.load import LIBRARIES

DOCTOR = ["-m", "fnet_kernels", "doctor"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the sources alone."""
    folder = tmp_path / "clone"
    ignored = shutil.ignore_patterns("lib", "__pycache__")
    shutil.copytree(PACKAGE, folder / "fnet_kernels", ignore=ignored)
    metadata = folder / "fnet_kernels.egg-info" / "PKG-INFO"  # left by setuptools
    metadata.parent.mkdir()
    metadata.write_text("Name: fnet_kernels\nVersion: 0.1.0\n")
    return folder


@pytest.fixture
def installed(clone: Path, tmp_path: Path) -> Path:
    """A folder of packages where the clone is installed."""
    folder = tmp_path / "site"
    shutil.copytree(clone / "fnet_kernels", folder / "fnet_kernels")
    shutil.copytree(LIBRARIES, folder / "fnet_kernels" / "lib")
    shutil.copytree(clone / "fnet_kernels.egg-info", folder / "fnet_kernels-0.1.0.egg-info")
    return folder


def run(words: list[str], clone: Path, packages: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(packages)},
        text=True,
        capture_output=True,
    )


def test_a_clone_uses_the_library_of_the_same_installed_package(
    clone: Path, installed: Path
) -> None:
    done = run(DOCTOR, clone, installed)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    library = installed / "fnet_kernels" / "lib"
    assert f"[ok] extension: {library}, of the installed package; {clone}" in done.stdout
    assert done.stdout.endswith("all checks passed\n")


def test_a_clone_with_other_sources_refuses_the_library(clone: Path, installed: Path) -> None:
    (clone / "fnet_kernels" / "encoder.py").write_text("x = 1\n")
    done = run(DOCTOR, clone, installed)
    assert done.returncode == 1
    broken, fix, _ = done.stdout.splitlines()[-3:]
    assert broken == (
        f"[BROKEN] extension: the sources in {clone / 'fnet_kernels'} hide the package installed in"
        f" {installed / 'fnet_kernels'}, whose Python files differ, and have no compiled extension"
        " of their own"
    )
    assert fix == (f"     fix: run Python in another folder, or run `pip install -e .` in {clone}")


def test_a_clone_alone_says_that_nothing_is_built(clone: Path, tmp_path: Path) -> None:
    done = run(["-c", "from fnet_kernels import fourier_mix"], clone, tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: the extension of fnet_kernels is not built; run `pip inst")


@pytest.mark.parametrize("edit", ["none", "added", "removed"])
def test_the_comparison_sees_every_file(edit: str, clone: Path, installed: Path) -> None:
    package = clone / "fnet_kernels"
    if edit == "added":
        (package / "hf" / "more.py").write_text("")
    if edit == "removed":
        (package / "hf" / "_layer.py").unlink()
    same = python_files(package) == python_files(installed / "fnet_kernels")
    assert same == (edit == "none")
