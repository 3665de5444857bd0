"""Loads the compiled extension, which registers the operators `torch.ops.fnet_kernels.*`."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

#: Device types that this build has kernels for.
DEVICES: tuple[str, ...] = ("cpu",)

REBUILD = "run `pip install .` in the root of the fnet_kernels repository, with torch 2.11 or newer"


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


extension = load_extension()
operators = torch.ops.fnet_kernels
