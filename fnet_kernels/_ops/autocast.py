"""Autocast of the operators: in float32, as torch's own `fft` and `layer_norm`.

The public functions cast before they check their arguments. This rule is for direct calls of
`torch.ops.fnet_kernels`, and for graphs that contain them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from fnet_kernels._ops import traced
from fnet_kernels._ops.autograd import LAYER, RMS
from fnet_kernels._ops.derivatives import LIBRARY
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import TRANSFORMS, mix_varlen
from fnet_kernels._ops.varlen import TRACED, VARLEN

_16_BITS = (torch.bfloat16, torch.float16)


# torch.library.register_autocast does the same in 60 us a call, this in 3.
def _register(op: Any, key: str) -> None:
    keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, key))
    below = partial(torch._C._ExcludeDispatchKeyGuard, keys)

    def kernel(*args: Any) -> Any:
        with below():
            return op(*map(_cast, args))

    LIBRARY.impl(op.name(), kernel, key)  # type: ignore[no-untyped-call]


def _cast(arg: Any) -> Any:
    return arg.float() if isinstance(arg, Tensor) and arg.dtype in _16_BITS else arg


_FUSED = (
    *(op for family in (LAYER, RMS, VARLEN, TRACED) for op in (family.fused, family.train)),
    operators.residual_fourier_mix.default,
    operators.prenorm_fourier_mix.default,
)
for _op in (*TRANSFORMS, mix_varlen, traced.mix, *_FUSED):
    for _key in ("AutocastCPU", "AutocastCUDA"):
        _register(_op, _key)
