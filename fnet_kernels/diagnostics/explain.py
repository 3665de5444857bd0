"""`explain`: the execution path of a shape, and the reason for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, overload

import torch
from torch import Tensor

from fnet_kernels._ops.checks import check_dtype, check_size, check_x, kind, no_kernels
from fnet_kernels._ops.load import DEVICES, operators

ExecutionPath = Literal["kernels", "general", "empty"]


@dataclass(frozen=True)
class Explanation:
    """How `fourier_mix` and `fused_fourier_mix` run on one shape. `str()` gives a summary."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    #: "kernels": this library's FFT; "general": torch.fft's one-sided FFT; "empty": no elements.
    path: ExecutionPath
    #: Why the shape takes this path.
    why: str
    #: Factors of seq and hidden, in the order in which the kernels apply them; () on other paths.
    seq_radices: tuple[int, ...]
    hidden_radices: tuple[int, ...]
    #: The same as text. It names the algorithm of a factor that is no radix, and the factors of the
    #: length that this algorithm transforms: "2 * 197 (Rader: 4 * 7 * 7)"; "" on other paths.
    seq_stages: str
    hidden_stages: str
    #: What the lanes of a CPU's vectors hold: "columns, then rows", "sequences", "parts of seq" or
    #: "parts of hidden", whichever fills them; "" on other paths. The bits of a sequence's result
    #: are the same in every batch with the same lanes.
    lanes: str
    #: On a CPU the instruction set ("avx512", "avx2", "neon_bf16", "neon" or "portable") and the
    #: number of threads; on a GPU its name and how the kernels divide the work.
    runs_on: str
    #: Bytes that the call allocates besides its results, without torch.fft's scratch memory.
    workspace_bytes: int

    def __str__(self) -> str:
        *_, seq, hidden = self.shape
        lines = [
            f"fourier_mix of {list(self.shape)} {str(self.dtype).removeprefix('torch.')}"
            f" on {self.device}",
            f"  path       {self.path}: {self.why}",
            f"  seq        {_factors(seq, self.seq_stages)}",
            f"  hidden     {_factors(hidden, self.hidden_stages)}",
            *([f"  lanes      {self.lanes}"] if self.lanes else []),
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
    device: torch.device | str | int = "cpu",
) -> Explanation: ...
def explain(
    x: Tensor | Sequence[int],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | int | None = None,
) -> Explanation:
    """Report the execution path of a tensor or a shape, and the reason for it.

    Args:
        x: a tensor `[..., seq, hidden]`, or its shape.
        dtype: dtype to assume for a shape; float32 if None. Not allowed with a tensor.
        device: device to assume for a shape; the CPU if None. Not allowed with a tensor.

    Returns:
        An `Explanation` with named fields; `print` shows a summary.

    Raises:
        TypeError: `x` is neither a dense tensor nor a shape of ints, or has an unsupported dtype,
            or `dtype` or `device` is given with a tensor, or `device` has a type that
            `torch.device` refuses.
        ValueError: a size is negative, there are fewer than two axes, or this build has no kernels
            for the device.

    >>> from fnet_kernels import explain
    >>> explain((8, 512, 768)).path
    'kernels'
    >>> explain((8, 197, 768)).seq_stages
    '197 (Rader: 4 * 7 * 7)'
    """
    if isinstance(x, Tensor):
        if dtype is not None or device is not None:
            raise TypeError("explain: dtype and device must be None when x is a tensor")
        if x.is_nested:
            raise TypeError(
                "explain: x must be a dense tensor or a shape, such as that of one sequence; got a"
                " nested tensor"
            )
        device = x.device
    else:
        check_dtype("explain", dtype)
        try:
            device = torch.device("cpu" if device is None else device)
        except (RuntimeError, TypeError) as error:
            wrong = TypeError if isinstance(error, TypeError) else ValueError
            raise wrong(f"explain: device must be one of torch, got {device!r}") from error
        if device.type not in DEVICES:
            raise no_kernels("explain", device)
        if not isinstance(x, Iterable):
            raise TypeError(f"explain: x must be a tensor or a shape, got {kind(x)}")
        shape = tuple(check_size("explain", "a size", size, least=0) for size in x)
        dtype = dtype or torch.float32
        if prod(shape) * dtype.itemsize > sys.maxsize:
            raise ValueError(f"explain: x must have at most {sys.maxsize} bytes; got shape {shape}")
        # A meta tensor needs no memory.
        x = torch.empty(shape, dtype=dtype, device="meta")
    check_x("explain", x)
    *batch, seq, hidden = x.shape
    plan = (_cuda_plan if device.type == "cuda" else _cpu_plan)(
        prod(batch), seq, hidden, x.dtype, device
    )
    path: ExecutionPath
    if x.numel() == 0:
        path, why = "empty", "there are no elements"
    elif plan.obstacle:
        path, why = "general", f"torch.fft, because {plan.obstacle}"
    else:
        path, why = "kernels", "the kernels support both lengths"
    return Explanation(
        shape=tuple(x.shape),
        dtype=x.dtype,
        device=device,
        path=path,
        why=why,
        seq_radices=plan.seq_radices if path == "kernels" else (),
        hidden_radices=plan.hidden_radices if path == "kernels" else (),
        seq_stages=plan.seq_stages if path == "kernels" else "",
        hidden_stages=plan.hidden_stages if path == "kernels" else "",
        lanes=plan.lanes if path == "kernels" else "",
        runs_on=plan.runs_on,
        workspace_bytes=plan.workspace_bytes,
    )


@dataclass(frozen=True)
class _Plan:
    """The plan of a backend. `obstacle` says why the kernels do not support it, or is ""."""

    obstacle: str
    seq_radices: tuple[int, ...]
    hidden_radices: tuple[int, ...]
    seq_stages: str
    hidden_stages: str
    runs_on: str
    workspace_bytes: int
    lanes: str = ""


def _cpu_plan(batch: int, seq: int, hidden: int, dtype: torch.dtype, device: torch.device) -> _Plan:
    plan = json.loads(operators.cpu_plan(batch, seq, hidden, dtype))
    lengths = {"seq": seq, "hidden": hidden}
    without = " and ".join(
        f"{name} {lengths[name]}" for name in plan["reason"].split(" and ") if name in lengths
    )
    obstacle = "set_cpu_path forces it" if plan["reason"] == "forced" else ""
    if without:
        obstacle = f"{without} is beyond the bounds of the kernels"
    threads = torch.get_num_threads()
    return _Plan(
        obstacle,
        tuple(plan["seq_radices"]),
        tuple(plan["hidden_radices"]),
        plan["seq_stages"],
        plan["hidden_stages"],
        f"{plan['isa']}, {threads} thread{'s' * (threads != 1)}",
        plan["workspace_bytes"],
        plan["lanes"],
    )


def _cuda_plan(
    batch: int, seq: int, hidden: int, dtype: torch.dtype, device: torch.device
) -> _Plan:
    name, facts = "CUDA", _DEFAULT_DEVICE
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(device)
        name = properties.name
        facts = (
            properties.multi_processor_count,
            getattr(properties, "shared_memory_per_block_optin", _DEFAULT_DEVICE[1]),
            properties.L2_cache_size,
        )
    plan = json.loads(operators.cuda_plan(batch, seq, hidden, dtype, *facts))
    if plan["path"] == "general":
        needed = plan["needed_shared_bytes"]
        obstacle = {
            "dtype": "float64 has no CUDA kernels",
            "forced": "set_cuda_path forces it",
            "shared memory": f"a block of the kernels needs {_kilobytes(needed)} of shared memory"
            f" and this device has {_kilobytes(facts[1])}",
        }.get(plan["reason"], f"there are no CUDA kernels for seq {seq} or for hidden {hidden}")
        return _Plan(obstacle, (), (), "", "", f"{name}, cuFFT", plan["workspace_bytes"])
    slices = plan["slices"]
    runs_on = (
        f"{name}; batch in {slices} slice{'s' * (slices != 1)}; seq_fft: {plan['seq_fft_threads']}"
        f" threads per block for every second row of {2 * plan['seq_fft_pairs']} columns,"
        f" {plan['seq_fft_points']} points per thread; row_fft: {plan['row_fft_threads']} threads"
        f" per line of 2 rows and their mirrors, {plan['row_fft_points']} points per thread"
    )
    seq_radices, hidden_radices = tuple(plan["seq_radices"]), tuple(plan["hidden_radices"])
    return _Plan(
        "",
        seq_radices,
        hidden_radices,
        " * ".join(map(str, seq_radices)),
        " * ".join(map(str, hidden_radices)),
        runs_on,
        plan["workspace_bytes"],
    )


#: Multiprocessors, shared memory per block and L2 size in bytes of an H100, assumed without a GPU.
_DEFAULT_DEVICE = (132, 227 << 10, 50 << 20)


def _kilobytes(count: int) -> str:
    return f"{-(-count // 1024)} KB"


def _factors(length: int, stages: str) -> str:
    if not stages or stages.split()[0] == str(length):
        return stages or str(length)
    return f"{length} = {stages}"
