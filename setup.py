"""Builds `fnet_kernels._C` against the torch of this environment, `_C_cuda` beside a CUDA torch.

Metadata: pyproject.toml.

LibTorch stable ABI and CPython limited API: one build runs with torch 2.11 or newer and Python 3.10
or newer. MAX_JOBS, CXX, CFLAGS and LDFLAGS are honoured; for CUDA also

    FNET_CUDA=auto|0|1    auto: CUDA kernels where torch and an nvcc of its CUDA are there; what
                          keeps them from being built is printed, and the CPU part is built;
                          0: none; 1: it is an error when they cannot be built
    TORCH_CUDA_ARCH_LIST  compute capabilities, `8.0;9.0+PTX`; else the GPU that is here, else all
    CUDA_HOME             the toolkit; else that of the nvcc in PATH, else pip's packages
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import NoReturn

from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "build_backend"))
import fnet_nvcc  # noqa: E402

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


def name_processor() -> None:
    """Say which kernels are built for a processor that has none of its own."""
    processor = platform.machine()
    if processor.lower() not in ("x86_64", "amd64", "aarch64", "arm64"):
        print(f"fnet_kernels: portable C++ kernels: none are specific to {processor}", flush=True)


def check_torch() -> None:
    """Stop when there is no torch to build against, or one without the stable ABI that we use."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch without NumPy warns, which is no matter here
            import torch
    except (ImportError, OSError) as error:
        stop(f"torch does not import ({error}): run `pip install torch`, then build again")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        stop(f"torch {torch.__version__} is too old: run `pip install 'torch>={oldest}'`")


def check_compiler() -> None:
    """Stop when C++20 cannot be compiled here, or Python's headers are missing."""
    compiler = os.environ.get("CXX", "c++")
    cure = "install g++ 11 or clang 14 or newer (say, `apt install g++`), or name one in CXX"
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


name_processor()
check_torch()
check_compiler()

from torch.utils.cpp_extension import BuildExtension, CppExtension  # noqa: E402


class Build(BuildExtension):
    """Keeps its objects in build/, also for editable installs: only what changed is recompiled."""

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
        """What nvcc makes of the CUDA sources; None where it cannot, and none need be made."""
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
    """The files of csrc/ that match, relative to the root as setuptools wants them."""
    files = {file for pattern in patterns for file in (ROOT / "csrc").glob(pattern)}
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def extension(name: str, files: list[str], macros: dict[str, str]) -> Extension:
    """A module in C++ that keeps to the stable ABIs."""
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
    made.libraries = ["torch_cpu"]  # the home of the stable ABI; nothing else is owed to us
    return made


def cpu_extension() -> Extension:
    """Schemas and CPU kernels: a module that knows nothing of CUDA."""
    return extension("fnet_kernels._C", sources("cpu/**/*.cpp", "torch/*.cpp"), {})


def cuda_extension() -> Extension:
    """CUDA kernels: a module that is loaded only beside a torch for CUDA."""
    assert TOOLKIT is not None
    files = sources("cuda/*.cpp", "torch_cuda/*.cpp", "torch/general_path.cpp", "torch/errors.cpp")
    made = extension(CUDA_MODULE, files, {"USE_CUDA": "1"})
    made.extra_link_args = TOOLKIT.runtime()
    import torch

    if torch.version.cuda:  # else nothing but the compilation can be had here
        made.libraries.append("torch_cuda")
    return made


def why_no_cuda() -> str | None:
    """The sentence that says why CUDA kernels are not built, or None when they are."""
    wanted = os.environ.get("FNET_CUDA", "auto")
    if wanted not in ("auto", "0", "1"):
        stop(f"FNET_CUDA: expected auto, 0 or 1, got {wanted}")
    if wanted == "0":
        return "FNET_CUDA=0"
    import torch

    cuda = torch.version.cuda
    why = None
    if cuda is None and wanted == "auto":
        return f"torch {torch.__version__} is built without CUDA"  # they could not be used
    if TOOLKIT is None:
        why = "there is no nvcc here: install the CUDA toolkit, or name it in CUDA_HOME"
    elif cuda is not None and int(cuda.split(".")[0]) != TOOLKIT.version[0]:
        version = ".".join(map(str, TOOLKIT.version))
        why = (
            f"nvcc is of CUDA {version} and torch of CUDA {cuda}, whose majors must agree: name a "
            f"toolkit of CUDA {cuda} in CUDA_HOME"
        )
    return why


def go_without_cuda(why: str) -> None:
    """Say why there are no CUDA kernels, or stop where FNET_CUDA=1 asks for them."""
    if os.environ.get("FNET_CUDA") == "1":
        stop(f"FNET_CUDA=1, but {why}")
    print(f"fnet_kernels: no CUDA kernels in this build: {why}", flush=True)


def local_gpu() -> str | None:
    """The compute capability of the GPU of this machine."""
    import torch

    if not torch.cuda.is_available():
        return None
    return "{}.{}".format(*torch.cuda.get_device_capability())


def use_this_environment() -> None:
    """One job per core, and the environment's ninja, also when its bin/ is not on PATH."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("MAX_JOBS", str(cores or 1))
    os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", "")


use_this_environment()
CUDA_MODULE = "fnet_kernels._C_cuda"
TOOLKIT = None if os.environ.get("FNET_CUDA") == "0" else fnet_nvcc.find_toolkit()
NO_CUDA = why_no_cuda()
if NO_CUDA:
    go_without_cuda(NO_CUDA)
setup(
    ext_modules=[cpu_extension()] + ([] if NO_CUDA else [cuda_extension()]),
    cmdclass={"build_ext": Build},
    options={"bdist_wheel": {"py_limited_api": OLDEST_PYTHON}},
)
