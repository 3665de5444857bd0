"""Tensors whose elements Python must not read.

defines: is_traced, plain, why_unreadable, why_without_values
"""

from __future__ import annotations

from torch import Tensor
from torch._C import _functorch as functorch
from torch._C import _get_dispatch_mode as dispatch_mode
from torch._C import _get_tracing_state as tracing_state
from torch._C import _TorchDispatchModeKey as ModeKey
from torch._subclasses.fake_tensor import FakeTensor
from torch.compiler import is_compiling


def is_traced() -> bool:
    """Whether `torch.jit.trace` records: what Python reads from a tensor is then a constant."""
    return not is_compiling() and tracing_state() is not None


def why_unreadable(t: Tensor) -> str | None:
    """What `t` is, if Python must not read its elements now.

    None under a compiler: that represents elements by symbols, or breaks the graph.
    """
    if is_compiling():
        return None
    if tracing_state() is not None:
        return "a tensor under torch.jit.trace, which would record its values as constants"
    if dispatch_mode(ModeKey.PROXY) is not None:
        return "a tensor under make_fx, which would record its values as constants"
    return why_without_values(t)


def why_without_values(t: Tensor) -> str | None:
    """What `t` is, if it has no values that Python can read."""
    if is_compiling():
        return None
    if t.is_meta:
        return "a tensor on meta, which has no values"
    if isinstance(t, FakeTensor):
        return "a FakeTensor, which has no values"
    if _is_mapped(t):
        return "a tensor that torch.vmap maps over"
    return None


def _is_mapped(t: Tensor) -> bool:
    while functorch.is_functorch_wrapped_tensor(t):
        if functorch.is_batchedtensor(t):
            return True
        t = functorch.get_unwrapped(t)
    return False


def plain(t: Tensor) -> Tensor:
    """`t` without the wrappers of `torch.func`, which have no storage. `t` must be readable."""
    while not is_compiling() and functorch.is_functorch_wrapped_tensor(t):
        t = functorch.get_unwrapped(t)
    return t
