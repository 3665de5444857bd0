"""`explain`: which path a shape takes, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, overload

import torch
from torch import Tensor

from fnet_kernels._ops.checks import check_x, no_kernels
from fnet_kernels._ops.load import DEVICES, operators

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
    #: Where it runs: on a CPU the instruction set ("avx512", "avx2", "neon_bf16", "neon" or
    #: "portable") and the threads; on a GPU the device, and how the kernels divide the work.
    runs_on: str
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
            f"  runs on    {self.runs_on}",
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
        shape = tuple(x)
        if not all(isinstance(size, int) and size >= 0 for size in shape):
            raise ValueError(f"explain: a shape is made of sizes 0, 1, 2, ...; got {shape}")
        # A meta tensor has a shape and a dtype, and no memory.
        x = torch.empty(shape, dtype=dtype or torch.float32, device="meta")
    check_x("explain", x)
    *batch, seq, hidden = x.shape
    plan = (_cuda_plan if device.type == "cuda" else _cpu_plan)(
        prod(batch), seq, hidden, x.dtype, device
    )
    path: Path
    if x.numel() == 0:
        path, why = "empty", "there are no elements"
    elif plan.obstacle:
        path, why = "general", f"torch.fft, for {plan.obstacle}"
    else:
        path, why = "kernels", "the kernels have factors for both lengths"
    return Explanation(
        shape=tuple(x.shape),
        dtype=x.dtype,
        device=device,
        path=path,
        why=why,
        seq_radices=plan.seq_radices if path == "kernels" else (),
        hidden_radices=plan.hidden_radices if path == "kernels" else (),
        runs_on=plan.runs_on,
        workspace_bytes=plan.workspace_bytes,
    )


@dataclass(frozen=True)
class _Plan:
    """What a backend makes of a shape; `obstacle` says why it has no kernels for it."""

    obstacle: str
    seq_radices: tuple[int, ...]
    hidden_radices: tuple[int, ...]
    runs_on: str
    workspace_bytes: int


def _cpu_plan(batch: int, seq: int, hidden: int, dtype: torch.dtype, device: torch.device) -> _Plan:
    plan = json.loads(operators.cpu_plan(batch, seq, hidden, dtype))
    lengths = {"seq": seq, "hidden": hidden}
    without = " and ".join(
        f"{name} {lengths[name]}" for name in plan["reason"].split(" and ") if name
    )
    threads = torch.get_num_threads()
    return _Plan(
        f"{without} has a prime factor without a kernel" if without else "",
        tuple(plan["seq_radices"]),
        tuple(plan["hidden_radices"]),
        f"{plan['isa']}, {threads} thread{'s' * (threads != 1)}",
        plan["workspace_bytes"],
    )


def _cuda_plan(
    batch: int, seq: int, hidden: int, dtype: torch.dtype, device: torch.device
) -> _Plan:
    name, facts = "CUDA", _USUAL_DEVICE
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(device)
        name = properties.name
        facts = (
            properties.multi_processor_count,
            getattr(properties, "shared_memory_per_block_optin", _USUAL_DEVICE[1]),
            properties.L2_cache_size,
        )
    plan = json.loads(operators.cuda_plan(batch, seq, hidden, dtype, *facts))
    if plan["path"] == "general":
        needed = plan["needed_shared_bytes"]
        obstacle = {
            "dtype": "float64 has no CUDA kernels",
            "forced": "set_cuda_path asked for it",
            "shared memory": f"the kernels' blocks need {_kilobytes(needed)} of shared memory, of"
            f" which this device has {_kilobytes(facts[1])}",
        }.get(plan["reason"], f"seq {seq} or hidden {hidden} is not a length with CUDA kernels")
        return _Plan(obstacle, (), (), f"{name}, cuFFT", plan["workspace_bytes"])
    slices = plan["slices"]
    runs_on = (
        f"{name}; {slices} slice{'s' * (slices != 1)} of the batch; seq_fft: every second row of"
        f" {2 * plan['seq_fft_pairs']} columns a block of {plan['seq_fft_threads']} threads,"
        f" {plan['seq_fft_points']} points a thread; row_fft: 2 rows and their mirror images a line"
        f" of {plan['row_fft_threads']} threads, {plan['row_fft_points']} points a thread"
    )
    radices = tuple(plan["seq_radices"]), tuple(plan["hidden_radices"])
    return _Plan("", *radices, runs_on, plan["workspace_bytes"])


#: Multiprocessors, shared memory of a block and L2 in bytes, where there is no GPU to ask: an H100.
_USUAL_DEVICE = (132, 227 << 10, 50 << 20)


def _kilobytes(count: int) -> str:
    return f"{-(-count // 1024)} KB"


def _factors(length: int, radices: tuple[int, ...]) -> str:
    return f"{length} = {' * '.join(map(str, radices))}" if radices else str(length)
