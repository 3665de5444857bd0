"""Builds `fnet_kernels._C` against the installed torch, and `_C_cuda` if torch is built with CUDA.

pyproject.toml holds the metadata.

The modules use LibTorch's stable ABI and CPython's limited API, so one build runs with torch 2.11
or newer and Python 3.10 or newer. The build reads MAX_JOBS, CXX, CFLAGS, LDFLAGS and, for CUDA,

    FNET_CUDA=auto|0|1    auto: build the CUDA kernels if torch has CUDA and an nvcc of the same
                          major version exists; otherwise print the reason and build the CPU part.
                          0: do not build them. 1: fail if they cannot be built.
    TORCH_CUDA_ARCH_LIST  compute capabilities, for example `8.0;9.0+PTX`. Default: that of the
                          local GPU, or without one all that nvcc supports.
    CUDA_HOME             the CUDA toolkit. Default: that of nvcc in PATH, or the one from pip.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sysconfig
import warnings
from pathlib import Path
from typing import NoReturn

from setuptools import Extension, setup

from build_backend import fnet_nvcc  # setup.py's folder and pip's backend-path are on sys.path

ROOT = Path(__file__).resolve().parent
OLDEST_TORCH = (2, 11)
TORCH_TARGET_VERSION = "0x{:02X}{:02X}000000000000".format(*OLDEST_TORCH)
OLDEST_PYTHON = "cp310"

# No -march, because kernels choose their instruction set at run time. No -ffast-math, because NaN
# and infinity must propagate.
CXX_FLAGS = [
    "-std=c++20",
    "-O3",
    "-g0",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-ffp-contract=fast",
    "-Wall",
    "-Wno-psabi",
]


def stop(sentence: str) -> NoReturn:
    """End the build with an error of one sentence, which pip shows without a traceback."""
    raise SystemExit(f"fnet_kernels: {sentence}")


def name_processor() -> None:
    """Print a line if the processor has no specific kernels and gets the portable ones."""
    processor = platform.machine()
    if processor.lower() not in ("x86_64", "amd64", "aarch64", "arm64"):
        print(f"fnet_kernels: portable C++ kernels: none are specific to {processor}", flush=True)


def check_torch() -> None:
    """Stop the build if torch is missing or older than the stable ABI that we use."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch without NumPy warns
            import torch
    except (ImportError, OSError) as error:
        stop(f"torch does not import ({error}): run `pip install torch`, then build again")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        stop(f"torch {torch.__version__} is too old: run `pip install 'torch>={oldest}'`")


def check_compiler() -> None:
    """Stop the build if C++20 does not compile or Python's headers are missing."""
    compiler = os.environ.get("CXX", "c++")
    fix = "install g++ 11 or clang 14 or newer (for example `apt install g++`), or set CXX"
    probe = [*compiler.split(), "-std=c++20", "-fsyntax-only", "-x", "c++", "-"]
    source = "#include <concepts>\n#include <span>\n"
    try:
        done = subprocess.run(probe, input=source, text=True, capture_output=True)
    except OSError:
        stop(f"the C++ compiler `{compiler}` was not found: {fix}")
    if done.returncode:
        stop(f"the C++ compiler `{compiler}` does not compile C++20: {fix}")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        stop("the headers of this Python are missing: for example, run `apt install python3-dev`")


name_processor()
check_torch()
check_compiler()

from torch.utils.cpp_extension import BuildExtension, CppExtension  # noqa: E402


class Build(BuildExtension):
    """Keeps object files in build/, also for editable installs: rebuilds compile only changes."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_temp = str(ROOT / "build" / "objects")

    def build_extensions(self) -> None:
        for extension in list(self.extensions):
            if extension.name == CUDA_MODULE:
                objects = self.cuda_objects()
                if objects is None:
                    self.extensions.remove(extension)
                else:
                    extension.extra_objects = objects
        super().build_extensions()

    def cuda_objects(self) -> list[str] | None:
        """Compile the CUDA sources. Returns None if that fails and FNET_CUDA is not 1."""
        assert TOOLKIT is not None
        cuda, headers = sources("cuda/**/*.cu"), sources("**/*.h")
        folder = Path(self.build_temp, "cuda")
        try:
            return fnet_nvcc.compile_all(TOOLKIT, cuda, headers, ROOT / "csrc", folder, local_gpu())
        except (fnet_nvcc.NoArchitecture, RuntimeError) as error:
            go_without_cuda(str(error))
            return None
        except ValueError as error:
            stop(str(error))


def sources(*patterns: str) -> list[str]:
    """The files in csrc/ that match, relative to the root, as setuptools requires."""
    files = {file for pattern in patterns for file in (ROOT / "csrc").glob(pattern)}
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def extension(name: str, files: list[str], macros: dict[str, str]) -> Extension:
    """A C++ module that uses the stable ABIs only."""
    macros = {"TORCH_TARGET_VERSION": TORCH_TARGET_VERSION, **macros}
    made = CppExtension(
        name,
        files,
        include_dirs=[str(ROOT / "csrc")],
        define_macros=list(macros.items()),
        depends=sources("**/*.h"),
        extra_compile_args={"cxx": CXX_FLAGS},
        py_limited_api=True,
    )
    made.libraries = ["torch_cpu"]  # exports the stable ABI; other libraries of torch may change
    return made


def cpu_extension() -> Extension:
    """The module with the operator schemas and the CPU kernels. It does not depend on CUDA."""
    return extension("fnet_kernels._C", sources("cpu/**/*.cpp", "torch/*.cpp"), {})


def cuda_extension() -> Extension:
    """The module with the CUDA kernels. It loads only if torch is built with CUDA."""
    assert TOOLKIT is not None
    files = sources("cuda/*.cpp", "torch_cuda/*.cpp", "torch/general_path.cpp", "torch/errors.cpp")
    made = extension(CUDA_MODULE, files, {"USE_CUDA": "1"})
    made.extra_link_args = TOOLKIT.runtime()
    import torch

    if torch.version.cuda:  # otherwise the module compiles but cannot load
        made.libraries.append("torch_cuda")
    return made


def why_no_cuda() -> str | None:
    """The reason for not building the CUDA kernels, or None to build them."""
    wanted = os.environ.get("FNET_CUDA", "auto")
    if wanted not in ("auto", "0", "1"):
        stop(f"FNET_CUDA: expected auto, 0 or 1, got {wanted}")
    if wanted == "0":
        return "FNET_CUDA=0"
    import torch

    cuda = torch.version.cuda
    why = None
    if cuda is None and wanted == "auto":
        return f"torch {torch.__version__} is built without CUDA"  # it could not run them
    if TOOLKIT is None:
        why = "nvcc was not found: install the CUDA toolkit, or set CUDA_HOME"
    elif cuda is not None and int(cuda.split(".")[0]) != TOOLKIT.version[0]:
        version = ".".join(map(str, TOOLKIT.version))
        why = (
            f"the major versions of CUDA differ, nvcc has {version} and torch {cuda}: set CUDA_HOME"
            f" to a toolkit of CUDA {cuda}"
        )
    return why


def go_without_cuda(why: str) -> None:
    """Print the reason for building no CUDA kernels, or stop the build if FNET_CUDA=1."""
    if os.environ.get("FNET_CUDA") == "1":
        stop(f"FNET_CUDA=1, but {why}")
    print(f"fnet_kernels: no CUDA kernels in this build: {why}", flush=True)


def local_gpu() -> str | None:
    """The compute capability of the GPU of this machine, or None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    return "{}.{}".format(*torch.cuda.get_device_capability())


def use_this_environment() -> None:
    """Use one job per core, and the ninja of this environment even if PATH lacks its folder."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("MAX_JOBS", str(cores or 1))
    os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", "")


use_this_environment()
CUDA_MODULE = "fnet_kernels._C_cuda"
TOOLKIT = None if os.environ.get("FNET_CUDA") == "0" else fnet_nvcc.find_toolkit()
CUDA_UNAVAILABLE_REASON = why_no_cuda()
if CUDA_UNAVAILABLE_REASON:
    go_without_cuda(CUDA_UNAVAILABLE_REASON)
setup(
    ext_modules=[cpu_extension(), *([] if CUDA_UNAVAILABLE_REASON else [cuda_extension()])],
    cmdclass={"build_ext": Build},
    options={"bdist_wheel": {"py_limited_api": OLDEST_PYTHON}},
)
