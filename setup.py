"""Builds `libfnet_kernels.so` against the installed torch, and `libfnet_kernels_cuda.so` if torch
is built with CUDA, in `fnet_kernels/lib`.

pyproject.toml holds the metadata. Metadata and source distributions need no torch.

The libraries use LibTorch's stable ABI and no symbol of Python, so one build runs with torch 2.11
or newer in any Python and in C++ programs. The build reads MAX_JOBS, CXX, CFLAGS, LDFLAGS and, for
CUDA,

    FNET_CUDA=auto|0|1    auto: build the CUDA kernels if torch has CUDA and an nvcc of the same
                          major version exists; otherwise print the reason and build the CPU part.
                          0: do not build them. 1: fail if they cannot be built.
    TORCH_CUDA_ARCH_LIST  compute capabilities, for example `8.0;9.0+PTX`. Default: those of the
                          local GPUs, or without one all that nvcc supports.
    CUDA_HOME             the CUDA toolkit. Default: that of nvcc in PATH, or the one from pip.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

try:
    from torch.utils.cpp_extension import BuildExtension, include_paths, library_paths
except (ImportError, OSError):  # fnet_checks.check_torch stops a build that needs it
    from setuptools.command.build_ext import build_ext as BuildExtension

# build_backend is importable from setup.py's folder and through pip's backend-path.
from build_backend.fnet_checks import (
    OLDEST_TORCH,
    check_compiler,
    check_torch,
    name_processor,
    stop,
)
from build_backend.fnet_nvcc import (
    RECORD,
    CannotBuild,
    Toolkit,
    compile_all,
    find_toolkit,
    first_error,
)

ROOT = Path(__file__).resolve().parent
TORCH_TARGET_VERSION = "0x{:02X}{:02X}000000000000".format(*OLDEST_TORCH)
CPU, CUDA = "fnet_kernels.lib.libfnet_kernels", "fnet_kernels.lib.libfnet_kernels_cuda"

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


def sources(*patterns: str) -> list[str]:
    """The files in csrc/ that match, relative to the root, as setuptools requires."""
    files = {file for pattern in patterns for file in (ROOT / "csrc").glob(pattern)}
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def library(name: str, files: list[str], macros: dict[str, str]) -> Extension:
    """A C++ library that uses the stable ABI of torch only."""
    macros = {"TORCH_TARGET_VERSION": TORCH_TARGET_VERSION, **macros}
    return Extension(
        name,
        files,
        language="c++",
        include_dirs=[str(ROOT / "csrc")],
        define_macros=list(macros.items()),
        depends=sources("**/*.h"),
        libraries=["torch_cpu"],  # exports the stable ABI; other libraries of torch may change
        extra_compile_args={"cxx": CXX_FLAGS},  # type: ignore[arg-type]
        extra_link_args=[f"-Wl,-soname,{name.rpartition('.')[2]}.so"],
    )


#: The operators' schemas and the CPU kernels. It does not depend on CUDA.
CPU_LIBRARY = library(CPU, sources("cpu/**/*.cpp", "torch/*.cpp"), {})
#: The CUDA kernels. It loads only if torch is built with CUDA.
CUDA_LIBRARY = library(
    CUDA,
    sources("cuda/*.cpp", "torch_cuda/*.cpp", "torch/general_path.cpp", "torch/errors.cpp"),
    {"USE_CUDA": "1"},
)


class Build(BuildExtension):  # type: ignore[misc, valid-type]
    """Keeps object files in build/, also for editable installs: rebuilds compile only changes."""

    def finalize_options(self) -> None:
        self.build_temp = self.build_temp or str(ROOT / "build" / "objects")
        super().finalize_options()

    def get_ext_filename(self, fullname: str) -> str:
        """The file of a library, without the tags of a Python module."""
        return f"{fullname.replace('.', '/')}.so"

    def run(self) -> None:
        name_processor()
        check_torch()
        check_compiler()
        use_this_environment()
        self.outputs = [Path(self.build_lib)]
        if self.inplace:
            (ROOT / "fnet_kernels" / "lib").mkdir(exist_ok=True)
            self.outputs.append(ROOT)
        super().run()

    def build_extensions(self) -> None:
        for extension in self.extensions:
            extension.include_dirs += include_paths()
            extension.library_dirs += library_paths()
        objects = Path(self.build_temp, "cuda")
        try:
            prepare_cuda(objects)
            for folder in self.outputs:
                record = folder / Path(self.get_ext_filename(CUDA)).with_name(RECORD)
                record.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(objects / RECORD, record)
        except CannotBuild as error:
            self.drop_cuda(str(error))
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception as error:
            if ext is not CUDA_LIBRARY:
                raise
            self.drop_cuda(f"libfnet_kernels_cuda.so does not build ({first_error(str(error))})")

    def drop_cuda(self, why: str) -> None:
        """Build without the CUDA kernels and print the reason, or stop if FNET_CUDA=1."""
        if os.environ.get("FNET_CUDA") == "1":
            stop(f"FNET_CUDA=1, but {why}")
        print(f"fnet_kernels: no CUDA kernels in this build: {why}", flush=True)
        self.extensions.remove(CUDA_LIBRARY)
        for folder in self.outputs:  # those of an earlier build
            library = folder / self.get_ext_filename(CUDA)
            library.unlink(missing_ok=True)
            library.with_name(RECORD).unlink(missing_ok=True)


class Modules(build_py):
    """Packs the modules of now: an earlier build may have left others in its folder."""

    def run(self) -> None:
        for module in Path(self.build_lib, "fnet_kernels").rglob("*.py"):
            module.unlink()
        super().run()


class Wheel(bdist_wheel):
    """A wheel for one platform and every Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


def prepare_cuda(folder: Path) -> None:
    """Compile the CUDA sources in `folder` for CUDA_LIBRARY.

    Raises:
        CannotBuild: FNET_CUDA, torch or nvcc prevents it; the message says which.
    """
    import torch

    toolkit = usable_toolkit(torch.version.cuda)
    cuda, headers = sources("cuda/**/*.cu"), sources("**/*.h")
    CUDA_LIBRARY.extra_objects = compile_all(
        toolkit, cuda, headers, ROOT / "csrc", folder, local_gpus()
    )
    CUDA_LIBRARY.depends += CUDA_LIBRARY.extra_objects  # setuptools compares no objects
    CUDA_LIBRARY.extra_link_args += toolkit.runtime()
    if torch.version.cuda:  # otherwise the library compiles but cannot load
        CUDA_LIBRARY.libraries.append("torch_cuda")


def usable_toolkit(cuda: str | None) -> Toolkit:
    """The toolkit for a torch of this CUDA version. Raises CannotBuild with the reason."""
    wanted = os.environ.get("FNET_CUDA", "auto")
    if wanted not in ("auto", "0", "1"):
        stop(f"FNET_CUDA: expected auto, 0 or 1, got {wanted}")
    if wanted == "0":
        raise CannotBuild("FNET_CUDA=0")
    if cuda is None and wanted == "auto":  # torch could not run them
        raise CannotBuild("torch is built without CUDA")
    toolkit = find_toolkit()
    if cuda is not None and int(cuda.split(".")[0]) != toolkit.version[0]:
        version = ".".join(map(str, toolkit.version))
        raise CannotBuild(
            f"the major versions of CUDA differ, nvcc has {version} and torch {cuda}: set CUDA_HOME"
            f" to a toolkit of CUDA {cuda}"
        )
    if cuda is not None and toolkit.version > tuple(map(int, cuda.split(".")[:2])):
        # Its code may need a newer runtime than torch brings, and its PTX a newer driver.
        version = ".".join(map(str, toolkit.version))
        print(
            f"fnet_kernels: nvcc {version} is newer than torch's CUDA {cuda}: if the CUDA kernels"
            f" do not load, set CUDA_HOME to a toolkit of CUDA {cuda}",
            flush=True,
        )
    return toolkit


def local_gpus() -> list[str]:
    """The compute capabilities of the GPUs of this machine, empty without a usable one."""
    import torch

    try:
        devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
        return sorted({"{}.{}".format(*torch.cuda.get_device_capability(i)) for i in devices})
    except RuntimeError:  # a GPU that another process holds, or a broken driver
        return []


def use_this_environment() -> None:
    """Use one job per core, and the ninja of this environment even if PATH lacks its folder."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("MAX_JOBS", str(cores or 1))
    os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", "")


setup(
    ext_modules=[CPU_LIBRARY, CUDA_LIBRARY],
    cmdclass={"build_py": Modules, "build_ext": Build, "bdist_wheel": Wheel},
)
