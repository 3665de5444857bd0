"""Argument checks of the public functions. Each error names the expected and the actual value."""

from __future__ import annotations

import torch
from torch import Tensor

from fnet_kernels._ops.load import CUDA_UNAVAILABLE_REASON, DEVICES, REBUILD_CUDA

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_ACCEPTED_DEVICES = (*DEVICES, "meta")  # meta tensors carry shapes only
_INFINITY = float("inf")


def check_x(op: str, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: x must be a torch.Tensor, got {_kind(x)}")
    if x.layout != torch.strided:
        raise TypeError(f"{op}: x must be a dense (strided) tensor, got {x.layout}")
    if x.dtype not in DTYPES:
        names = ", ".join(str(dtype) for dtype in DTYPES)
        raise TypeError(f"{op}: x must have one of the dtypes {names}; got {x.dtype}")
    if x.dim() < 2:
        raise ValueError(
            f"{op}: x must have at least two axes, [..., seq, hidden]; got shape {tuple(x.shape)}"
        )
    if x.device.type not in _ACCEPTED_DEVICES:
        raise no_kernels(op, x.device)


def autocasting(x: Tensor) -> bool:
    """Whether `torch.autocast` is enabled on the device of x."""
    device = x.device.type
    return device != "meta" and torch.is_autocast_enabled(device)  # meta has no autocast


def no_kernels(op: str, device: torch.device) -> ValueError:
    fix = f": {CUDA_UNAVAILABLE_REASON}; {REBUILD_CUDA}" if device.type == "cuda" else ""
    return ValueError(
        f"{op}: x must be on a device that this build has kernels for"
        f" ({', '.join(DEVICES)}); got {device}{fix}"
    )


def check_vector(op: str, name: str, vector: Tensor, x: Tensor, cast: bool) -> Tensor:
    """Return `vector`, a weight or bias, after checking it against x.

    `cast` converts it to the dtype of x; without it, another dtype is an error.
    """
    if not isinstance(vector, Tensor):
        raise TypeError(f"{op}: {name} must be a torch.Tensor or None, got {_kind(vector)}")
    if vector.dim() != 1 or vector.shape[0] != x.shape[-1]:
        raise ValueError(
            f"{op}: {name} must have shape ({x.shape[-1]},), the hidden size of x with shape"
            f" {tuple(x.shape)}; got shape {tuple(vector.shape)}"
        )
    if vector.device != x.device:
        raise ValueError(
            f"{op}: {name} must be on the device of x, {x.device}; got {vector.device}"
        )
    if vector.dtype == x.dtype:
        return vector
    if cast and vector.dtype in DTYPES:
        return vector.to(x.dtype)
    raise TypeError(f"{op}: {name} must have the dtype of x, {x.dtype}; got {vector.dtype}")


def check_number(op: str, name: str, value: float) -> None:
    if not isinstance(value, (float, int)) or isinstance(value, bool):
        raise TypeError(f"{op}: {name} must be a Python number, got {_kind(value)}")


def check_eps(op: str, eps: float) -> None:
    check_number(op, "eps", eps)
    if not 0.0 <= eps < _INFINITY:  # rejects NaN too
        raise ValueError(f"{op}: eps must be finite and not negative, got {eps}")


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__
