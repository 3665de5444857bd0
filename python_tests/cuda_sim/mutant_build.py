"""Builds mutants of the CUDA kernels, to run on the CPU."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from tools.cuda_sim import ROOT

#: Replaces the dtypes and kernels that a mutant does not need.
ABSENT = """
#include "cuda/kernels.h"
namespace fnet {
template <class T> int launch_norm_grad(const NormGradArgs&, void*, Order, void*) { return -1; }
template <class T>
int launch_add_chunks(const Compute<T>*, int64_t, int64_t, T*, T*, void*) { return -1; }
template <> int launch_seq_fft(const SeqFftArgs<BFloat16>&, int, Order, void*) { return -1; }
template <> int launch_row_fft(const RowFftArgs<BFloat16>&, int, Order, void*) { return -1; }
}
"""


#: Sources by unit of compilation. A kernel is one, so that a mutant compiles little.
KERNELS = ("seq_fft", "row_fft")
SIMULATOR = sorted(path.name for path in (ROOT / "csrc/cuda_sim").glob("*.cpp"))
REST = [
    "cuda/mix.cpp",
    "cuda/plan.cpp",
    "cuda/varlen_plan.cpp",
    *(f"cuda_sim/{name}" for name in SIMULATOR),
    "testing/cuda_test.cpp",
    "testing/no_float16.cpp",
]
UNITS = {name: f'#include "cuda/instantiations/{name}_f32.cu"\n' for name in KERNELS}
for _name in ("clear_rows", "general_path", "row_statistics", "sequence_table"):
    UNITS[_name] = f'#include "cuda/{_name}.cu"\n'
UNITS["rest"] = ABSENT + "".join(f'#include "{part}"\n' for part in REST)


def original(folder: Path) -> Path:
    """Compile every unit of the unchanged sources, for float32 and a few lengths only."""
    for name in UNITS:
        _compile(name, ROOT / "csrc", folder)
    return folder


def mutant(folder: Path, edits: Iterable[tuple[str, str, str]], unchanged: Path) -> Path:
    """Link fnet_cuda_test from an edited copy of the sources and the objects of `original`.

    An edit is (file below csrc, text that occurs in it once, its replacement).
    """
    source = folder / "csrc"
    shutil.copytree(ROOT / "csrc", source)
    edited = set()
    for name, old, new in edits:
        file = source / name
        text = file.read_text()
        assert text.count(old) == 1, f"{name} contains {text.count(old)} times: {old}"
        file.write_text(text.replace(old, new))
        edited.add(str(ROOT / "csrc" / name))
    objects = []
    for name in UNITS:
        changed = edited & set((unchanged / f"{name}.d").read_text().split())
        if changed:
            _compile(name, source, folder)
        objects.append((folder if changed else unchanged) / f"{name}.o")
    library = folder / "fnet_cuda_test.so"
    subprocess.run(["c++", "-shared", "-o", library, *objects], check=True)
    return library


def _compile(unit: str, source: Path, folder: Path) -> None:
    import pybind11

    file = folder / f"{unit}.cpp"
    file.write_text(UNITS[unit])
    options = ["-std=c++20", "-O1", "-fPIC", "-fvisibility=hidden", "-MMD", "-c"]
    defines = ["-DFNET_CUDA_SIM", "-DFNET_FEW_LENGTHS"]
    paths = (source, pybind11.get_include(), sysconfig.get_path("include"))
    includes = [f"-I{path}" for path in paths]
    output = ["-o", file.with_suffix(".o")]
    subprocess.run(["c++", *options, *defines, *includes, file, *output], check=True)


def loaded(library: Path) -> ModuleType:
    """Import a mutant, under the name of its folder: pybind11 keeps one module for each name."""
    name = f"{library.parent.name}.{library.stem}"
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
