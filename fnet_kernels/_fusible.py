"""Whether calling the modules of a sublayer is what the fused operator computes.

A program may offload, shard, wrap, replace or hook a module at any time. So a sublayer checks at
every call, which takes 260 ns, and calls its modules if it must not fuse.

defines: fusible_norm, has_global_hooks, only_runs_forward
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx import Proxy
from torch.nn.modules.module import _has_any_global_hook

#: Parameters that an operator may read without their module. A DTensor holds a shard only.
_ORDINARY = (Tensor, nn.Parameter, FakeTensor)


def only_runs_forward(module: Any, expected: type[nn.Module]) -> bool:
    """Whether calling `module` runs `expected.forward` and, global hooks aside, nothing else."""
    if type(module) is not expected:
        return False
    state = module.__dict__
    return not (
        "forward" in state
        or state["_forward_hooks"]
        or state["_forward_pre_hooks"]
        or state["_backward_hooks"]
        or state["_backward_pre_hooks"]
    )


def has_global_hooks() -> bool:
    """Whether all modules have a hook."""
    return bool(_has_any_global_hook())  # type: ignore[no-untyped-call]


def fusible_norm(norm: Any, x: Tensor, expected: type[nn.Module] = nn.LayerNorm) -> bool:
    """Whether `norm` is an unmodified `expected` over x's last axis, with no global hooks set."""
    if not only_runs_forward(norm, expected) or has_global_hooks():
        return False
    if not isinstance(x, Tensor):
        return isinstance(x, Proxy)  # torch.fx records the call
    return (
        norm.normalized_shape == x.shape[-1:]
        and _readable(norm.weight, x)
        and _readable(getattr(norm, "bias", None), x)  # RMSNorm has none
    )


def _readable(parameter: Tensor | None, x: Tensor) -> bool:
    """Whether an operator on `x` can take `parameter` as it is."""
    return parameter is None or (type(parameter) in _ORDINARY and parameter.device == x.device)
