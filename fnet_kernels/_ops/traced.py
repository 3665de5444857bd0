"""The operators of varlen.py over lengths that a graph, or `torch.vmap`, knows later.

`lengths` is a tensor of integers or a boolean mask, on the CPU or on the device of x. An operator
reads it when it runs, and then calls the one of varlen.py. x is padded, `[..., seq, hidden]` with
at least one leading axis.
"""

from __future__ import annotations

from typing import Any

import torch

from fnet_kernels._ops.derivatives import LIBRARY
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.sequences import lengths_of_rows


def _define(end: str) -> Any:
    """The operator `traced_{end}`: `{end}_varlen` with a tensor in place of its list of lengths."""
    name = end.replace("fourier_mix", "fourier_mix_varlen")
    op = getattr(operators, name).default
    at = [argument.name for argument in op._schema.arguments].index("lengths")

    def kernel(*args: Any) -> Any:
        numbers = lengths_of_rows(end, args[at], args[0])
        return op(*args[:at], numbers, *args[at + 1 :])

    traced = f"fnet_kernels::traced_{end}"
    signature = str(op._schema).partition(name)[2].replace("SymInt[] lengths", "Tensor lengths")
    tags = (torch.Tag.cudagraph_unsafe, torch.Tag.pt2_compliant_tag)
    torch.library.define(traced, signature, tags=tags)
    LIBRARY.impl(traced, kernel, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    return getattr(operators, f"traced_{end}").default


mix: Any = _define("fourier_mix")
fused: Any = _define("fused_fourier_mix")
train: Any = _define("fused_fourier_mix_train")
backward: Any = _define("fused_fourier_mix_backward")
OPERATORS = (mix, fused, train, backward)
