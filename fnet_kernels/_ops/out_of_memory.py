"""Out of memory on CUDA, raised as torch's exception class.

The stable ABI turns every exception of a kernel into a RuntimeError with the allocator's words.

defines: in_torchs_class
"""

from __future__ import annotations

import torch


def in_torchs_class(error: RuntimeError) -> RuntimeError:
    """Return `error`, as a `torch.OutOfMemoryError` if a CUDA allocator raised it."""
    if type(error) is RuntimeError and "CUDA out of memory" in str(error):
        return torch.OutOfMemoryError(str(error))
    return error
