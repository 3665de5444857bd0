"""The layering rule of csrc; the binding includes only API headers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = (".h", ".cpp", ".cu")
CSRC = Path(__file__).resolve().parents[2] / "csrc"
API = {"core/args.h", "core/dtype.h", "cpu/api.h", "cuda/api.h"}
#: By folder: the folders whose headers it may include.
BELOW = {
    "core": {"core", "fft"},  # core and fft are one layer
    "fft": {"core", "fft"},
    "cpu": {"core", "fft", "cpu"},
    "cuda": {"core", "fft", "cuda"},
    "cuda_sim": {"core", "fft", "cuda", "cuda_sim"},
    "testing": {"core", "fft", "cpu", "cuda", "cuda_sim", "testing"},
}
#: The simulator replaces CUDA's intrinsics.
EXCEPTION = ("cuda/device.h", "cuda_sim/intrinsics.h")


def includes(folder: str) -> set[tuple[str, str]]:
    """Pairs of a file and a header that it includes in quotes, relative to csrc."""
    files = [path for path in (CSRC / folder).rglob("*") if path.suffix in SOURCES]
    return {
        (path.relative_to(CSRC).as_posix(), name)
        for path in files
        for name in re.findall(r'^#include "(.+)"$', path.read_text(), re.M)
    }


@pytest.mark.parametrize("folder", BELOW)
def test_a_layer_includes_only_lower_layers(folder: str) -> None:
    found = includes(folder) - {EXCEPTION}
    assert found
    assert {
        (file, name) for file, name in found if name.split("/")[0] not in BELOW[folder]
    } == set()


@pytest.mark.parametrize("folder", ["torch", "torch_cuda"])
def test_the_binding_includes_only_api_headers(folder: str) -> None:
    kernels = {(file, name) for file, name in includes(folder) if not name.startswith("torch/")}
    assert kernels
    assert {(file, name) for file, name in kernels if name not in API} == set()


def test_every_folder_has_a_rule() -> None:
    files = (path for path in CSRC.rglob("*") if path.suffix in SOURCES)
    folders = {path.relative_to(CSRC).parts[0] for path in files}
    assert folders == {*BELOW, "torch", "torch_cuda"}
