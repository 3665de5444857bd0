"""The public functions: arguments checked in the user's words, then one call of an operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Importing these registers the gradients, the fake kernels and the vmap rules.
from fnet_kernels._ops import autograd, fake, vmap  # noqa: F401
from fnet_kernels._ops.checks import autocasting, check_eps, check_number, check_vector, check_x
from fnet_kernels._ops.functorch import train
from fnet_kernels._ops.load import operators
from fnet_kernels._ops.mixing import mix, transformed
from fnet_kernels._sizes import LAYER_NORM_EPS

# Looked up once: finding an overload by name costs as much as the checks below.
_mix: Callable[..., Tensor] = operators.fourier_mix.default
_fused: Callable[..., Tensor] = operators.fused_fourier_mix.default


def fourier_mix(x: Tensor, *, scale: float = 1.0) -> Tensor:
    """Mix tokens: `scale * Re(FFT2(x))`, the real part of the DFT over the last two axes.

    The transform is unnormalised (`norm="backward"` in `torch.fft`), as in section 3.2 of the FNet
    paper (arXiv 2105.03824); `scale=(seq * hidden) ** -0.5` gives the orthonormal one. The operator
    is its own adjoint, so its gradient, of any order, is the same operator.

    Args:
        x: `[..., seq, hidden]` with any number of leading axes and any strides; float32, float64,
            bfloat16 or float16. 16-bit inputs are computed in float32 and rounded once. An empty
            `x` gives an empty result.
        scale: factor of the transform; `torch.compile` compiles anew for each value.

    Returns:
        A contiguous tensor of the shape and dtype of `x`, also under `torch.autocast`. An element
        of `x` that is not finite makes its own `[seq, hidden]` not finite (but for single elements
        at a few lengths that are multiples of 4), and no other.

    Raises:
        TypeError: `x` is not a tensor of one of these dtypes, or `scale` is not a number.
        ValueError: `x` has fewer than two axes, or lives on a device without kernels.

    >>> import torch
    >>> from fnet_kernels import fourier_mix
    >>> fourier_mix(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[10., -2.],
            [-4.,  0.]])
    """
    check_x("fourier_mix", x)
    check_number("fourier_mix", "scale", scale)
    if (x.requires_grad and torch.is_grad_enabled()) or transformed():
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

    Section 3.2 of the FNet paper (arXiv 2105.03824). `weight`, `bias` and `eps` mean what they mean
    in `torch.nn.functional.layer_norm` over the last axis.

    Args:
        x: `[..., seq, hidden]` with any number of leading axes and any strides; float32, float64,
            bfloat16 or float16. 16-bit inputs are computed in float32 and rounded once. An empty
            `x` gives an empty result.
        weight: `[hidden]`, dtype (unless under autocast) and device of `x`; None for ones.
        bias: `[hidden]`, likewise; None for zeros.
        eps: added to the variance of each row; finite, not negative.
        scale: factor of the transform; `torch.compile` compiles anew for each value.

    Returns:
        A contiguous tensor of the shape and dtype of `x`. Under `torch.autocast`, too, the dtype of
        `x` decides, so that a residual stream in float32 stays so; `weight` and `bias` are cast to
        it. Without gradients nothing is kept; with them, the normalised rows and one number a row
        are. An element of `x` that is not finite makes its own `[seq, hidden]` not finite, as in
        `fourier_mix`, and no other.

    Raises:
        TypeError: an argument of the wrong kind, an unsupported dtype, or dtypes that differ.
        ValueError: fewer than two axes, a `weight` or `bias` that does not fit the hidden size,
            a bad `eps`, or devices that differ or have no kernels.

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
    if (needs_grad and torch.is_grad_enabled()) or transformed():
        return train(x, weight, bias, eps, scale)
    return _untracked(_fused, x, weight, bias, eps, scale)


def _untracked(op: Callable[..., Tensor], *args: Any) -> Tensor:
    """`op` where nothing is recorded. Past the autograd key, whose Python kernel costs 4 us."""
    if torch.compiler.is_compiling():
        return op(*args)
    with torch._C._AutoDispatchBelowAutograd():
        return op(*args)
