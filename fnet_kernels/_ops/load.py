"""Loads the compiled extension, which registers the operators `torch.ops.fnet_kernels.*`."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

REBUILD = "run `pip install .` in the root of the fnet_kernels repository, with torch 2.11 or newer"
REBUILD_CUDA = (
    "with nvcc of the same CUDA major as torch, run `FNET_CUDA=1 pip install .` in the root of the"
    " fnet_kernels repository"
)


def load_extension() -> ModuleType:
    """Import `fnet_kernels._C`.

    Raises:
        ImportError: the extension is missing or does not load. The message names the fix after
            "; ".
    """
    try:
        return importlib.import_module("fnet_kernels._C")
    except ModuleNotFoundError as error:
        if error.name != "fnet_kernels._C":
            raise
        raise ImportError(f"the extension of fnet_kernels is not built; {REBUILD}") from error
    except ImportError as error:  # for example an undefined symbol, if torch is older than 2.11
        raise ImportError(
            f"the extension of fnet_kernels does not load ({error}); {REBUILD}"
        ) from error


def load_cuda() -> str:
    """Import `fnet_kernels._C_cuda` if torch is built with CUDA. The CPU kernels never need it.

    Returns:
        "" if it loads, else the reason in a few words.
    """
    if torch.version.cuda is None:
        return "torch is built without CUDA"
    try:
        importlib.import_module("fnet_kernels._C_cuda")
    except ModuleNotFoundError:
        return "this build has no CUDA kernels"
    except ImportError as error:  # for example a different CUDA major
        return f"the CUDA kernels of this build do not load ({error})"
    return ""


extension = load_extension()
operators = torch.ops.fnet_kernels
#: Why the CUDA kernels are unavailable; "" if they are available.
CUDA_UNAVAILABLE_REASON = load_cuda()
#: Device types that this build has kernels for.
DEVICES: tuple[str, ...] = ("cpu",) if CUDA_UNAVAILABLE_REASON else ("cpu", "cuda")
