"""`explain`: which path a shape takes, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, overload

import torch
from torch import Tensor

from fnet_kernels._checks import check_x, no_kernels
from fnet_kernels._library import DEVICES, operators

Path = Literal["kernels", "general", "empty"]


@dataclass(frozen=True)
class Explanation:
    """How `fourier_mix` and `fused_fourier_mix` run on one shape. `str()` of it is for people."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    #: "kernels": this library's own FFT; "general": torch.fft with the mirror; "empty": no work.
    path: Path
    why: str
    #: Factors of the two lengths, in the order in which the kernels apply them; () on other paths.
    seq_radices: tuple[int, ...]
    hidden_radices: tuple[int, ...]
    #: Instruction set of the kernels: "avx512", "avx2", "neon" or "portable".
    isa: str
    threads: int
    #: What the call allocates besides its results, in bytes (without torch.fft's own scratch).
    workspace_bytes: int

    def __str__(self) -> str:
        *_, seq, hidden = self.shape
        lines = [
            f"fourier_mix of {list(self.shape)} {str(self.dtype).removeprefix('torch.')}"
            f" on {self.device}",
            f"  path       {self.path}: {self.why}",
            f"  seq        {_factors(seq, self.seq_radices)}",
            f"  hidden     {_factors(hidden, self.hidden_radices)}",
            f"  runs on    {self.isa}, {self.threads} thread{'s' * (self.threads != 1)}",
            f"  workspace  {self.workspace_bytes / 2**20:.1f} MiB",
        ]
        return "\n".join(lines)


@overload
def explain(x: Tensor) -> Explanation: ...
@overload
def explain(
    x: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Explanation: ...
def explain(
    x: Tensor | Sequence[int],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Explanation:
    """Say which path a tensor, or a shape, takes through this library, and why.

    Args:
        x: a tensor `[..., seq, hidden]`, or such a shape.
        dtype: with a shape: the dtype; float32 if not given.
        device: with a shape: the device; the CPU if not given.

    Returns:
        An `Explanation`; print it, or read its fields.

    Raises:
        TypeError, ValueError: for what `fourier_mix` would reject, and for a `dtype` or `device`
            beside a tensor.

    >>> from fnet_kernels import explain
    >>> explain((8, 512, 768)).path
    'kernels'
    >>> explain((8, 1009, 768)).why
    'torch.fft, for seq 1009 has a prime factor without a kernel'
    """
    if isinstance(x, Tensor):
        if dtype is not None or device is not None:
            raise TypeError("explain: dtype and device go with a shape; a tensor has its own")
        device = x.device
    else:
        device = torch.device(device or "cpu")
        if device.type not in DEVICES:
            raise no_kernels("explain", device)
        # A meta tensor has a shape and a dtype, and no memory.
        x = torch.empty(tuple(x), dtype=dtype or torch.float32, device="meta")
    check_x("explain", x)
    *batch, seq, hidden = x.shape
    radices = {name: _radices(n) for name, n in (("seq", seq), ("hidden", hidden))}
    covered = bool(radices["seq"] and radices["hidden"])
    path: Path
    if x.numel() == 0:
        path, why = "empty", "there are no elements"
    elif covered:
        path, why = "kernels", "the kernels have factors for both lengths"
    else:
        lengths = {"seq": seq, "hidden": hidden}
        why = " and ".join(f"{name} {lengths[name]}" for name in lengths if not radices[name])
        path, why = "general", f"torch.fft, for {why} has a prime factor without a kernel"
    return Explanation(
        shape=tuple(x.shape),
        dtype=x.dtype,
        device=device,
        path=path,
        why=why,
        seq_radices=radices["seq"] if path == "kernels" else (),
        hidden_radices=radices["hidden"] if path == "kernels" else (),
        isa=operators.cpu_isa(),
        threads=torch.get_num_threads(),
        workspace_bytes=operators.workspace_bytes(prod(batch), seq, hidden, x.dtype),
    )


def _radices(length: int) -> tuple[int, ...]:
    return tuple(operators.length_radices(length)) if length else ()


def _factors(length: int, radices: tuple[int, ...]) -> str:
    return f"{length} = {' * '.join(map(str, radices))}" if radices else str(length)
