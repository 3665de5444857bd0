"""CUDA kernels of the operators that the library has no CUDA sources for.

They are composed of the transform, which has, and of operators of torch: right, but not fused.
"""

from __future__ import annotations

from fnet_kernels._ops import prenorm, residual
from fnet_kernels._ops.autograd import RMS
from fnet_kernels._ops.derivatives import LIBRARY

#: The kernels by operator; they run on any device.
KERNELS = {residual.op: residual.by_fourier_mix, **RMS.composed, **prenorm.COMPOSED}

for _op, _kernel in KERNELS.items():
    LIBRARY.impl(_op.name(), _kernel, "CUDA")  # type: ignore[no-untyped-call]
