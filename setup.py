"""Builds `fnet_kernels._C` against the torch of this environment. Metadata: pyproject.toml.

LibTorch stable ABI and CPython limited API: one build runs with torch 2.11 or newer and Python 3.10
or newer. MAX_JOBS, CXX, CFLAGS and LDFLAGS are honoured.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import warnings
from pathlib import Path
from typing import NoReturn

from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
OLDEST_TORCH = (2, 11)
TORCH_TARGET_VERSION = "0x{:02X}{:02X}000000000000".format(*OLDEST_TORCH)
OLDEST_PYTHON = "cp310"

# No -march: kernels choose their instruction set at run time. No -ffast-math: NaN and Inf count.
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
    """End the build with one sentence; pip shows it without a traceback."""
    raise SystemExit(f"fnet_kernels: {sentence}")


def check_torch() -> None:
    """Stop when there is no torch to build against, or one without the stable ABI that we use."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch without NumPy warns, which is no matter here
            import torch
    except ImportError as error:
        stop(f"torch does not import ({error}): run `pip install torch`, then build again")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        stop(f"torch {torch.__version__} is too old: run `pip install 'torch>={oldest}'`")


def check_compiler() -> None:
    """Stop when C++20 cannot be compiled here, or Python's headers are missing."""
    compiler = os.environ.get("CXX", "c++")
    cure = "install g++ 10 or clang 12 or newer (say, `apt install g++`), or name one in CXX"
    probe = [*compiler.split(), "-std=c++20", "-fsyntax-only", "-x", "c++", "-"]
    source = "#include <concepts>\n#include <span>\n"
    try:
        done = subprocess.run(probe, input=source, text=True, capture_output=True)
    except OSError:
        stop(f"there is no C++ compiler `{compiler}` here: {cure}")
    if done.returncode:
        stop(f"the C++ compiler `{compiler}` does not compile C++20: {cure}")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        stop("the headers of this Python are missing: say, `apt install python3-dev`")


check_torch()
check_compiler()

from torch.utils.cpp_extension import BuildExtension, CppExtension  # noqa: E402


class Build(BuildExtension):
    """Keeps its objects in build/, also for editable installs: only what changed is recompiled."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_temp = str(ROOT / "build" / "objects")


def sources(*patterns: str) -> list[str]:
    """The files of csrc/ that match, relative to the root as setuptools wants them."""
    files = {file for pattern in patterns for file in (ROOT / "csrc").glob(pattern)}
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def cpu_extension() -> Extension:
    """Schemas and CPU kernels: a module that knows nothing of CUDA."""
    extension = CppExtension(
        "fnet_kernels._C",
        sources("cpu/*.cpp", "torch/*.cpp"),
        include_dirs=[str(ROOT / "csrc")],
        define_macros=[("TORCH_TARGET_VERSION", TORCH_TARGET_VERSION)],
        depends=sources("**/*.h"),
        extra_compile_args={"cxx": CXX_FLAGS},
        py_limited_api=True,
    )
    extension.libraries = ["torch_cpu"]  # the home of the stable ABI; nothing else is owed to us
    return extension


def use_this_environment() -> None:
    """One job per core, and the environment's ninja, also when its bin/ is not on PATH."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("MAX_JOBS", str(cores or 1))
    os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", "")


use_this_environment()
setup(
    ext_modules=[cpu_extension()],
    cmdclass={"build_ext": Build},
    options={"bdist_wheel": {"py_limited_api": OLDEST_PYTHON}},
)
