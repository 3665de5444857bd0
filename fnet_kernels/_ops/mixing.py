"""The operator `fourier_mix` with reverse-mode, forward-mode and `torch.func` differentiation.

Mixing, M(x) = Re(FFT2(x)), is linear and self-adjoint (M^T = M), so its gradient and its forward
derivative are mixing too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from fnet_kernels._ops.load import operators

_mix: Callable[..., Tensor] = operators.fourier_mix.default


def transforms_active() -> bool:
    """Whether a `torch.func` transform or forward-mode differentiation is active."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def mix(x: Tensor, scale: float, residual: bool) -> Tensor:
    """The operator `fourier_mix`, differentiable under `torch.func` too."""
    run = _apply_mix if transforms_active() else _mix
    return run(x, scale, residual)


def _setup_mix(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.scale, ctx.residual = inputs


def _mix_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    return mix(grad, ctx.scale, ctx.residual), None, None


class _Mix(torch.autograd.Function):
    """`fourier_mix` for `torch.func`, whose transforms ignore `register_autograd`."""

    generate_vmap_rule = True
    setup_context = staticmethod(_setup_mix)
    backward = staticmethod(_mix_backward)

    @staticmethod
    def forward(x: Tensor, scale: float, residual: bool) -> Tensor:
        return _mix(x, scale, residual)

    @staticmethod
    def jvp(ctx: Any, x: Tensor, *_: None) -> Tensor:
        return mix(x, ctx.scale, ctx.residual)  # mixing is linear


_apply_mix: Callable[..., Tensor] = _Mix.apply
torch.library.register_autograd(
    "fnet_kernels::fourier_mix", _mix_backward, setup_context=_setup_mix
)
