"""Loads the compiled libraries, which register the operators `torch.ops.fnet_kernels.*`."""

from __future__ import annotations

from pathlib import Path

import torch

from fnet_kernels._ops.library import CUDA_KERNELS, KERNELS, REBUILD, library_folder

REBUILD_CUDA = (
    "with nvcc of the same CUDA major as torch, run `FNET_CUDA=1 pip install .` in the root of the"
    " fnet_kernels repository"
)


def load_kernels(folder: Path) -> None:
    """Load the library with the operators' schemas and the CPU kernels.

    Raises:
        ImportError: the library does not load. The message names the fix after "; ".
    """
    try:
        _load(folder / KERNELS)
    except OSError as error:  # for example an undefined symbol, if torch is older than 2.11
        raise ImportError(
            f"the extension of fnet_kernels does not load ({_reason(error)}); {REBUILD}"
        ) from error


def load_cuda(folder: Path) -> str:
    """Load the CUDA kernels if torch is built with CUDA. The CPU kernels never need them.

    Returns:
        "" if they load, else the reason in a few words.
    """
    if torch.version.cuda is None:
        return "torch is built without CUDA"
    if not (folder / CUDA_KERNELS).exists():
        return "this build has no CUDA kernels"
    try:
        _load(folder / CUDA_KERNELS)
    except OSError as error:  # for example a different CUDA major
        return f"the CUDA kernels of this build do not load ({_reason(error)})"
    return ""


def _load(library: Path) -> None:
    torch.ops.load_library(str(library))  # type: ignore[no-untyped-call, unused-ignore]


def _reason(error: OSError) -> BaseException:
    return error.__cause__ or error  # torch wraps the dynamic linker's message


#: The folder that the libraries come from.
LIBRARIES = library_folder()
load_kernels(LIBRARIES)
operators = torch.ops.fnet_kernels
#: Why the CUDA kernels are unavailable; "" if they are available.
CUDA_UNAVAILABLE_REASON = load_cuda(LIBRARIES)
#: Device types that this build has kernels for.
DEVICES: tuple[str, ...] = ("cpu",) if CUDA_UNAVAILABLE_REASON else ("cpu", "cuda")
