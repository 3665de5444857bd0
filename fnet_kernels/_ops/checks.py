"""Argument checks of the public functions. Each error names the expected and the actual value."""

from __future__ import annotations

import numbers
import operator
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C import _get_tracing_state as tracing_state
from torch.overrides import handle_torch_function, has_torch_function

from fnet_kernels._ops.load import CUDA_UNAVAILABLE_REASON, DEVICES, REBUILD_CUDA
from fnet_kernels._ops.unreadable import why_unreadable, why_without_values

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_ACCEPTED_DEVICES = (*DEVICES, "meta")  # meta tensors carry shapes only
_STRIDED = torch.strided
_SINGLE = torch.float32
_TENSORS = (Tensor, torch.nn.Parameter)
_16_BITS = (torch.bfloat16, torch.float16)
# Those of numpy are registered as Real.
_NUMBERS = (float, int, torch.SymFloat, torch.SymInt, numbers.Real)


def check_x(op: str, x: Tensor) -> Tensor:
    """Return `x` after checking it; under autocast in at least float32."""
    check_dense(op, "x", x)
    dtype = x.dtype
    if dtype is not _SINGLE and dtype not in DTYPES:
        raise TypeError(f"{op}: x must have one of the dtypes {_names()}; got {dtype}")
    if x.dim() < 2:
        raise ValueError(
            f"{op}: x must have at least two axes, [..., seq, hidden]; got shape {tuple(x.shape)}"
        )
    if not x.is_cpu and x.device.type not in _ACCEPTED_DEVICES:
        raise no_kernels(op, x.device)
    if dtype is not _SINGLE and dtype in _16_BITS and autocasting(x):
        return x.float()
    return x


def check_dense(op: str, name: str, t: Tensor) -> None:
    if t.layout is _STRIDED and not t.is_nested:
        return
    if t.is_nested:
        jagged = t.layout is torch.jagged
        advice = (
            "fourier_mix and fused_fourier_mix, post-norm, take jagged ones"
            if jagged
            else "make it with layout=torch.jagged, or pass its rows and offsets to"
            " fourier_mix_varlen"
        )
        raise TypeError(
            f"{op}: {name} must be a dense (strided) tensor here, got a nested tensor: {advice}"
        )
    raise TypeError(
        f"{op}: {name} must be a dense (strided) tensor, got {t.layout}: convert it with to_dense()"
    )


def check_rows(op: str, x: object, hidden: int | None = None) -> None:
    """Check that `x` can be rows, `[..., seq, hidden]`, dense or jagged, where a module reads them.

    What `torch.fx` records passes.
    """
    if not isinstance(x, Tensor):
        if has_torch_function((x,)):
            return
        raise TypeError(f"{op}: x must be a torch.Tensor, got {kind(x)}")
    if x.layout is not torch.jagged:
        check_dense(op, "x", x)
    if x.dim() < 2:
        raise ValueError(
            f"{op}: x must have at least two axes, [..., seq, hidden]; got shape {tuple(x.shape)}"
        )
    if hidden is not None and x.size(-1) != hidden:
        raise ValueError(
            f"{op}: x must have hidden size {hidden} as its last axis; got shape {tuple(x.shape)}"
        )


def overridden(
    function: Callable[..., Any],
    names: tuple[str | None, ...],
    given: tuple[Any, ...],
    keyword_only: int = 0,
    **options: Any,
) -> Any:
    """Handle a call in which one of the `given` arguments is not a tensor but must be one.

    Those whose name is None may be anything. The last `keyword_only` are passed by name. An object
    with `__torch_function__` handles the call: this is how `torch.fx` records it.
    """
    if has_torch_function(given):
        positional = len(given) - keyword_only
        by_name = zip(names[positional:], given[positional:], strict=True)
        options |= {name: value for name, value in by_name if name is not None}
        return handle_torch_function(function, given, *given[:positional], **options)
    for name, value in zip(names, given, strict=True):
        if name is None:
            continue
        if name == "x" and not isinstance(value, Tensor):
            expected = "a torch.Tensor"
        elif value is not None and not isinstance(value, Tensor):
            expected = "a torch.Tensor or None"
        else:
            continue
        raise TypeError(f"{function.__name__}: {name} must be {expected}, got {kind(value)}")
    raise AssertionError("every argument is a tensor")


def autocasting(x: Tensor) -> bool:
    """Whether `torch.autocast` is enabled on the device of x."""
    device = "cpu" if x.is_cpu else x.device.type  # x.device is slow
    return device != "meta" and torch.is_autocast_enabled(device)  # meta has no autocast


def no_kernels(op: str, device: torch.device) -> ValueError:
    fix = f": {CUDA_UNAVAILABLE_REASON}; {REBUILD_CUDA}" if device.type == "cuda" else ""
    return ValueError(
        f"{op}: x must be on a device that this build has kernels for"
        f" ({', '.join(DEVICES)}); got {device}{fix}"
    )


def check_affine(
    op: str, x: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Return `weight` and `bias` as the operators take them: in the dtype of x, or both in float32.

    The operators take float32 beside 16-bit x only with a weight, so a missing weight becomes ones.
    """
    dtype, hidden = x.dtype, x.shape[-1]
    if weight is not None:
        weight = _check_vector(op, "weight", weight, x, dtype, hidden)
    if bias is not None:
        bias = _check_vector(op, "bias", bias, x, dtype, hidden)
    if (weight is None or weight.dtype is dtype) and (bias is None or bias.dtype is dtype):
        return weight, bias
    if weight is None:
        assert bias is not None
        weight = torch.ones_like(bias)
    return weight.float(), None if bias is None else bias.float()


def _check_vector(
    op: str, name: str, vector: Tensor, x: Tensor, dtype: torch.dtype, hidden: int
) -> Tensor:
    """Return `vector`, a weight or bias, in the dtype of x or in float32, after checking it."""
    if vector.layout is not _STRIDED or vector.is_nested:
        check_dense(op, name, vector)
    if vector.dim() != 1 or vector.numel() != hidden:
        raise ValueError(
            f"{op}: {name} must have shape ({x.shape[-1]},), the hidden size of x with shape"
            f" {tuple(x.shape)}; got shape {tuple(vector.shape)}"
        )
    if vector.device != x.device:
        raise ValueError(
            f"{op}: {name} must be on the device of x, {x.device}; got {vector.device}"
        )
    given = vector.dtype
    if given is dtype or (given is _SINGLE and dtype in _16_BITS):
        return vector
    if given in DTYPES and autocasting(x):
        return vector.to(dtype)
    wide = " or torch.float32" if dtype in _16_BITS else ""
    raise TypeError(f"{op}: {name} must have the dtype of x, {dtype}{wide}; got {given}")


def check_per_token(op: str, name: str, t: object, shape: torch.Size) -> None:
    """Check that `t`, a mask for example, has an element for each token of an input."""
    if not isinstance(t, Tensor):
        raise TypeError(f"{op}: {name} must be a torch.Tensor, got {kind(t)}")
    if t.shape != shape:
        raise ValueError(
            f"{op}: {name} must have the shape of the input, {tuple(shape)}; got shape"
            f" {tuple(t.shape)}"
        )


def check_indices(op: str, name: str, t: Tensor) -> None:
    """Check that `t` has one of the dtypes of indices."""
    if t.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{op}: {name} must be int64 or int32, got {t.dtype}")


def check_below(op: str, name: str, t: Tensor, end: int, ignored: int | None = None) -> None:
    """Check that indices, where reading them is cheap, are from 0 to `end - 1`, or `ignored`."""
    if not _cheap_to_read(t):
        return
    if ignored is not None:
        t = t.masked_fill(t == ignored, 0)
    least, most = (int(value) for value in t.aminmax())
    if least < 0 or most >= end:
        got = least if least < 0 else most
        but = "" if ignored is None else f", or {ignored}"
        raise ValueError(f"{op}: {name} must be from 0 to {end - 1}{but}, got {got}")


def _cheap_to_read(t: Tensor) -> bool:
    """Whether the values of `t` can be read, without waiting for a GPU."""
    if type(t) is not Tensor or not t.is_cpu or t.numel() == 0:
        return False
    return not torch.compiler.is_compiling() and not why_unreadable(t)


def check_mask(op: str, name: str, mask: object, shape: torch.Size) -> None:
    """Check that `mask` has an element for each token, and is not one to add to scores."""
    check_per_token(op, name, mask, shape)
    assert isinstance(mask, Tensor)
    if not mask.dtype.is_signed or why_without_values(mask):
        return
    # Most masks are integers: reading them would wait for a GPU at every call.
    if not mask.is_floating_point() and not _cheap_to_read(mask):
        return
    message = (
        f"{op}: {name} must be 1 or true for tokens, 0 or false for padding; got negative numbers"
        " or NaN, as in masks that are added to attention's scores"
    )
    if torch.compiler.is_compiling():
        torch._assert_async((mask >= 0).all(), message)
    elif not (mask >= 0).all():
        raise ValueError(message)


def check_mixed(mixer: object, x: Tensor, y: object) -> None:
    """Check that `y`, what `mixer` makes of `x`, has its shape and dtype. Tensor proxies pass."""
    if tracing_state() is not None:
        return
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        if y.shape == x.shape and (y.dtype is x.dtype or (autocasting(x) and y.dtype in DTYPES)):
            return
        got = f"shape {tuple(y.shape)} of {y.dtype}"
    elif hasattr(y, "shape"):
        return
    else:
        got = kind(y)
    raise ValueError(
        f"{type(mixer).__name__}: a mixer must return a tensor of the shape and dtype of its input,"
        f" {tuple(x.shape)} of {x.dtype}; got {got}"
    )


def check_residual(op: str, x: Tensor, residual: Tensor) -> Tensor:
    """Return `residual`, which is added to what `x` becomes, in the dtype of `x`."""
    check_dense(op, "residual", residual)
    if residual.shape != x.shape:
        raise ValueError(
            f"{op}: residual must have the shape of x, {tuple(x.shape)}; got shape"
            f" {tuple(residual.shape)}"
        )
    if residual.device != x.device:
        raise ValueError(
            f"{op}: residual must be on the device of x, {x.device}; got {residual.device}"
        )
    if residual.dtype is x.dtype:
        return residual
    if residual.dtype in DTYPES and autocasting(x):
        return residual.to(x.dtype)
    raise TypeError(f"{op}: residual must have the dtype of x, {x.dtype}; got {residual.dtype}")


def are_plain(x: Any, weight: Any, bias: Any) -> bool:
    """Whether all are torch's own tensors of one dtype, which autocast leaves alone, or None."""
    if type(x) not in _TENSORS or not (x.is_cpu or x.is_cuda):
        return False
    dtype = x.dtype
    for t in (weight, bias):
        if t is not None and not (type(t) in _TENSORS and t.dtype is dtype):
            return False
    return dtype is _SINGLE or not (dtype in _16_BITS and autocasting(x))


def check_number(op: str, name: str, value: float | None) -> None:
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise TypeError(f"{op}: {name} must be a Python number, got {kind(value)}")


def check_probability(op: str, name: str, value: float) -> None:
    check_number(op, name, value)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{op}: {name} must be from 0 to 1, got {value}")


def check_eps(op: str, eps: float | None, optional: bool = False, name: str = "eps") -> None:
    if eps is None and optional:
        return
    check_number(op, name, eps)
    assert eps is not None
    number = eps if isinstance(eps, (float, int)) else float(eps)
    if not 0.0 <= number <= sys.float_info.max:  # rejects NaN, and integers that no float holds
        raise ValueError(f"{op}: {name} must be finite and not negative, got {eps}")


def check_std(op: str, value: float) -> None:
    """Check the standard deviation of initial weights."""
    check_number(op, "initializer_range", value)
    if not 0.0 <= value <= sys.float_info.max:
        raise ValueError(f"{op}: initializer_range must be finite and not negative, got {value}")


def check_size(op: str, name: str, value: int, least: int = 1) -> int:
    """Return `value`, any integer, as an int."""
    if isinstance(value, (bool, Tensor)) or not hasattr(value, "__index__"):
        raise TypeError(f"{op}: {name} must be an int, got {kind(value)}")
    size = operator.index(value)
    if size < least:
        raise ValueError(f"{op}: {name} must be at least {least}, got {size}")
    return size


def check_bool(op: str, name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{op}: {name} must be True or False, got {value!r}")


def check_dtype(op: str, dtype: torch.dtype | None) -> None:
    if dtype is not None and dtype not in DTYPES:
        raise TypeError(f"{op}: dtype must be None or one of {_names()}; got {dtype!r}")


def _names() -> str:
    return ", ".join(str(dtype) for dtype in DTYPES)


def kind(value: object) -> str:
    return "None" if value is None else type(value).__name__
