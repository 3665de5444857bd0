"""The device of these tests, inputs on it, and the lengths with kernels.

A module that imports this file is skipped if there is no CUDA device or no CUDA kernels.
FNET_GPU_TESTS=require makes that an error. FNET_GPU_TESTS=rehearse runs the tests at small sizes on
the CPU, to find mistakes in the tests without a GPU.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

import fnet_kernels
from bench.gpu.device import Cuda, Device, Host
from fnet_kernels import fused_fourier_mix
from fnet_kernels._ops.load import DEVICES

ROOT = Path(__file__).parent.parent.parent

MODE = os.environ.get("FNET_GPU_TESTS", "")
REHEARSAL = MODE == "rehearse"
#: Skip the backward pass, which may make the device unusable.
FORWARD_ONLY = os.environ.get("FNET_GPU_FORWARD") == "1"
assert Path(fnet_kernels.__file__).is_relative_to(ROOT), (
    "fnet_kernels is imported from another tree"
)
ALL_DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def _missing() -> str:
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    return "" if "cuda" in DEVICES else "this build has no CUDA kernels: build with FNET_CUDA=1"


if not REHEARSAL and _missing():
    assert MODE != "require", _missing()
    pytest.skip(_missing(), allow_module_level=True)

device: Device = Host() if REHEARSAL else Cuda()


def randn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers on the device."""
    return torch.randn(shape, device=device.type, dtype=torch.float32).to(dtype)


def inputs(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """x, weight and bias."""
    hidden = shape[-1]
    return randn(*shape, dtype=dtype), randn(hidden, dtype=dtype), randn(hidden, dtype=dtype)


def step(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> list[Tensor]:
    """y and the gradients of x, weight and bias."""
    leaves = [t.detach().requires_grad_() for t in (x, weight, bias)]
    y = fused_fourier_mix(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


def _listed(table: str, pattern: str) -> list[int]:
    source = (ROOT / "csrc" / "cuda" / "lengths.h").read_text()
    body = source[source.rindex(f"{table}[] = {{") :].split("};")[0]  # the last: all lengths
    return [int(length) for length in re.findall(pattern, body)]


def listed_pairs() -> list[tuple[int, int]]:
    """(seq, hidden): each length with a kernel, with a short, a usual and a long other length."""
    seqs = [2 * line for line in _listed("kSeqShapes", r"\{\{(\d+), \d+, \{")]
    hiddens = _listed("kRowShapes", r"\{(\d+), \d+, \{")
    assert {16, 512, 8192} <= set(seqs), seqs
    assert {64, 768, 4096} <= set(hiddens), hiddens
    pairs = [(s, h) for s in seqs for h in (64, 768, 4096)]
    pairs += [(s, h) for s in (16, 512, 8192) for h in hiddens]
    return sorted(set(pairs))
