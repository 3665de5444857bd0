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
template <class T> int launch_norm_grad(const NormGradArgs&, void*, void*) { return -1; }
template <class T>
int launch_add_chunks(const Compute<T>*, int64_t, int64_t, T*, T*, void*) { return -1; }
template <class T> int launch_widen_rows(const MixArgs&, void*, void*) { return -1; }
template <class T> int launch_spectrum_rows(const MixArgs&, const void*, void*) { return -1; }
template <> int launch_seq_fft(const SeqFftArgs<BFloat16>&, int, void*) { return -1; }
template <> int launch_row_fft(const RowFftArgs<BFloat16>&, int, void*) { return -1; }
template <> int launch_seq_grad(const SeqGradArgs<BFloat16>&, int, void*) { return -1; }
template <> int launch_row_grad(const RowGradArgs<BFloat16>&, int, void*) { return -1; }
template <> int launch_seq_fft(const SeqFftArgs<Float16>&, int, void*) { return -1; }
template <> int launch_row_fft(const RowFftArgs<Float16>&, int, void*) { return -1; }
template <> int launch_seq_grad(const SeqGradArgs<Float16>&, int, void*) { return -1; }
template <> int launch_row_grad(const RowGradArgs<Float16>&, int, void*) { return -1; }
}
"""


def compiled(folder: Path, edits: Iterable[tuple[str, str, str]]) -> Path:
    """Build fnet_cuda_test in `folder` from an edited copy, for float32 and a few lengths only.

    An edit is (file below csrc, text that occurs in it once, its replacement). The module has the
    name of the folder, because Python loads only one extension module per name.
    """
    import pybind11

    source = folder / "csrc"
    shutil.copytree(ROOT / "csrc", source)
    define = "PYBIND11_MODULE({}, m)"
    driver = (
        "testing/cuda_test.cpp",
        define.format("fnet_cuda_test"),
        define.format(folder.name),
    )
    for name, old, new in [driver, *edits]:
        file = source / name
        text = file.read_text()
        assert text.count(old) == 1, f"{name} contains {text.count(old)} times: {old}"
        file.write_text(text.replace(old, new))
    unity = folder / "unity.cpp"
    kernels = ("seq_fft", "row_fft", "row_grad", "seq_grad")
    parts = [f"cuda/instantiations/{kernel}_f32.cu" for kernel in kernels] + [
        "cuda/mix.cpp",
        "cuda/plan.cpp",
    ]
    parts += sorted(f"cuda_sim/{p.name}" for p in (source / "cuda_sim").glob("*.cpp"))
    unity.write_text(
        ABSENT + "".join(f'#include "{part}"\n' for part in [*parts, "testing/cuda_test.cpp"])
    )
    library = folder / f"{folder.name}.so"
    defines = ["-DFNET_CUDA_SIM", "-DFNET_FEW_LENGTHS"]
    includes = [source, pybind11.get_include(), sysconfig.get_path("include")]
    subprocess.run(
        ["c++", "-std=c++20", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", *defines]
        + [f"-I{path}" for path in includes]
        + ["-o", library, unity],
        check=True,
    )
    return library


def loaded(library: Path) -> ModuleType:
    """Import a module built by `compiled`."""
    spec = importlib.util.spec_from_file_location(library.stem, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
