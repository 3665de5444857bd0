"""The public functions: they check their arguments and call one operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# These imports register gradients, shardings, decompositions, fake kernels and vmap rules.
from fnet_kernels._ops import autograd, dtensor, exporters, fake, vmap  # noqa: F401
from fnet_kernels._ops.checks import autocasting, check_eps, check_number, check_vector, check_x
from fnet_kernels._ops.functorch import train
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import mix, transforms_active
from fnet_kernels._sizes import LAYER_NORM_EPS

# Looked up once, because looking up an overload by name costs as much as all argument checks.
_mix: Callable[..., Tensor] = operators.fourier_mix.default
_fused: Callable[..., Tensor] = operators.fused_fourier_mix.default


def fourier_mix(x: Tensor, *, scale: float = 1.0) -> Tensor:
    """Mix tokens: `scale * Re(FFT2(x))`, the real part of the DFT over the last two axes.

    The transform is unnormalised (`norm="backward"` in `torch.fft`), as in section 3.2 of the FNet
    paper (arXiv 2105.03824); `scale=(seq * hidden) ** -0.5` makes it orthonormal. The operator is
    its own adjoint, so gradients of every order apply the same operator.

    Args:
        x: `[..., seq, hidden]` with any number of leading axes and any strides; float32, float64,
            bfloat16 or float16. 16-bit inputs are computed in float32 and rounded once. An empty
            `x` gives an empty result.
        scale: multiplies the transform; `torch.compile` recompiles for each value.

    Returns:
        A contiguous tensor with the shape and dtype of `x`, also under `torch.autocast`. A
        non-finite element of `x` makes its own `[seq, hidden]` matrix non-finite (except for single
        elements at a few lengths that are multiples of 4). Other matrices are unaffected.

    Raises:
        TypeError: `x` is not a tensor of one of these dtypes, or `scale` is not a number.
        ValueError: `x` has fewer than two axes, or this build has no kernels for its device.

    >>> import torch
    >>> from fnet_kernels import fourier_mix
    >>> fourier_mix(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[10., -2.],
            [-4.,  0.]])
    """
    check_x("fourier_mix", x)
    check_number("fourier_mix", "scale", scale)
    if (x.requires_grad and torch.is_grad_enabled()) or transforms_active():
        return mix(x, scale, False)
    return _untracked(_mix, x, scale)


def fused_fourier_mix(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = LAYER_NORM_EPS,
    *,
    scale: float = 1.0,
) -> Tensor:
    """The mixing sublayer of FNet in one pass: `LayerNorm(x + scale * Re(FFT2(x)))`.

    Section 3.2 of the FNet paper (arXiv 2105.03824). `weight`, `bias` and `eps` are those of
    `torch.nn.functional.layer_norm` over the last axis.

    Args:
        x: `[..., seq, hidden]` with any number of leading axes and any strides; float32, float64,
            bfloat16 or float16. 16-bit inputs are computed in float32 and rounded once. An empty
            `x` gives an empty result.
        weight: `[hidden]` on the device of `x`, in its dtype (any supported dtype under
            autocast); None for ones.
        bias: `[hidden]`, likewise; None for zeros.
        eps: added to the variance of each row; finite and not negative.
        scale: multiplies the transform; `torch.compile` recompiles for each value.

    Returns:
        A contiguous tensor with the shape and dtype of `x`. Autocast does not change the dtype, so
        a float32 residual stream stays float32; it casts `weight` and `bias` to the dtype of `x`.
        If a gradient is required, autograd saves the normalised rows and one number per row, else
        nothing. Non-finite elements of `x` act as in `fourier_mix`.

    Raises:
        TypeError: an argument has the wrong type or an unsupported dtype, or dtypes differ.
        ValueError: `x` has fewer than two axes, the shape of `weight` or `bias` is not `[hidden]`,
            `eps` is negative or not finite, devices differ, or this build has no kernels for the
            device.

    >>> import torch
    >>> from fnet_kernels import fused_fourier_mix
    >>> fused_fourier_mix(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    check_x("fused_fourier_mix", x)
    check_number("fused_fourier_mix", "scale", scale)
    check_eps("fused_fourier_mix", eps)
    needs_grad = x.requires_grad
    if weight is not None or bias is not None:
        cast = autocasting(x)
        if weight is not None:
            weight = check_vector("fused_fourier_mix", "weight", weight, x, cast)
            needs_grad = needs_grad or weight.requires_grad
        if bias is not None:
            bias = check_vector("fused_fourier_mix", "bias", bias, x, cast)
            needs_grad = needs_grad or bias.requires_grad
    if (needs_grad and torch.is_grad_enabled()) or transforms_active():
        return train(x, weight, bias, eps, scale)
    return _untracked(_fused, x, weight, bias, eps, scale)


def _untracked(op: Callable[..., Tensor], *args: Any) -> Tensor:
    """Call `op` without autograd.

    Skips the autograd dispatch key, whose Python kernel costs 4 us.
    """
    if torch.compiler.is_compiling():
        return op(*args)
    with torch._C._AutoDispatchBelowAutograd():
        return op(*args)
