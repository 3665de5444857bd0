"""Export to ONNX, and to other formats that know the operators of ATen only.

`torch.onnx.export` translates modules and functions of this package by itself:

    torch.onnx.export(model, (x,), "model.onnx")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch._ops import OperatorBase

from fnet_kernels._ops.composed import DECOMPOSITIONS


def decompositions() -> dict[OperatorBase, Callable[..., Any]]:
    """The operators of this package as compositions of ATen operators, in matrix products.

    For exporters that take a `torch.export.ExportedProgram` and do not know custom operators.
    `torch.onnx.export` finds these functions by itself.

    Returns:
        A new dict from operator to function, as `ExportedProgram.run_decompositions` takes it. A
        function has the arguments, result shapes and dtypes of its operator.

    >>> import torch
    >>> from fnet_kernels import FourierMix, onnx
    >>> program = torch.export.export(FourierMix(), (torch.ones(2, 2),))
    >>> program = program.run_decompositions(onnx.decompositions())
    >>> "fnet_kernels" in str(program.graph)
    False
    """
    return dict(DECOMPOSITIONS)
