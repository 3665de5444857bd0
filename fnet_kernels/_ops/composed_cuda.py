"""CUDA kernels of the operators that the library has no CUDA sources for.

They are composed of the transform, which has, and of operators of torch: right, but not fused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from fnet_kernels._ops import prenorm, residual
from fnet_kernels._ops.autograd import RMS
from fnet_kernels._ops.derivatives import LIBRARY


def _contiguous(composed: Callable[..., Any], *args: Any) -> Any:
    results = composed(*args)
    if isinstance(results, Tensor):
        return results.contiguous()
    return tuple(result.contiguous() for result in results)


#: The kernels by operator; they run on any device.
KERNELS: dict[Any, Callable[..., Any]] = {
    op: partial(_contiguous, composed)
    for op, composed in (
        (residual.op, residual.by_fourier_mix),
        *RMS.composed.items(),
        *prenorm.COMPOSED.items(),
    )
}
for _op, _kernel in KERNELS.items():
    LIBRARY.impl(_op.name(), _kernel, "CUDA")  # type: ignore[no-untyped-call]
