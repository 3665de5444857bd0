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
        ImportError: it is missing or does not load; the text says which, and what cures it.
    """
    try:
        return importlib.import_module("fnet_kernels._C")
    except ModuleNotFoundError as error:
        if error.name != "fnet_kernels._C":
            raise
        raise ImportError(f"the extension of fnet_kernels is not built; {REBUILD}") from error
    except ImportError as error:  # say, an undefined symbol: torch is older than 2.11
        raise ImportError(
            f"the extension of fnet_kernels does not load here ({error}); {REBUILD}"
        ) from error


def load_cuda() -> str:
    """Import `fnet_kernels._C_cuda` beside a torch for CUDA.

    Returns:
        "" when it is there; else why not, in a few words. The CPU never suffers from that.
    """
    if torch.version.cuda is None:
        return "torch is built without CUDA"
    try:
        importlib.import_module("fnet_kernels._C_cuda")
    except ModuleNotFoundError:
        return "this build has no CUDA kernels"
    except ImportError as error:  # say, another CUDA major than the one it was built with
        return f"the CUDA kernels of this build do not load ({error})"
    return ""


extension = load_extension()
operators = torch.ops.fnet_kernels
#: Why there are no CUDA kernels; "" when there are.
NO_CUDA = load_cuda()
#: Device types that this build has kernels for.
DEVICES: tuple[str, ...] = ("cpu",) if NO_CUDA else ("cpu", "cuda")
