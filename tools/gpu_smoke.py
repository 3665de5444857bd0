"""Smoke test on a GPU: does each kernel run, and is its result correct? Twenty seconds each.

    python -m tools.gpu_smoke forward     seq_fft and row_fft
    python -m tools.gpu_smoke training    row_fft, including what it stores for the backward pass
    python -m tools.gpu_smoke backward    norm_grad (dweight, dbias), then seq_fft and row_fft (dx)
    python -m tools.gpu_smoke general     the path around cuFFT, and its kernels

Each test runs four shapes in three dtypes and compares with float64 on the CPU. It prints a line
before each run and the errors after it, so the last line locates a hang. After twenty seconds of
work the process prints its traceback and exits. This needs no signal to reach a thread that waits
for the device.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys

import torch
from torch import Tensor

import fnet_kernels
from fnet_kernels import reference
from fnet_kernels.diagnostics.tolerances import ANY_METHOD
from tools.gpu_step import WRONG

LIMIT = 20.0  # seconds of work
#: A small and the usual shape, the longest seq with whole sectors, and the longest hidden.
SHAPES = [(3, 16, 64), (4, 512, 768), (1, 4096, 768), (2, 64, 4096)]
REHEARSED = [(3, 16, 64), (2, 32, 48)]
#: Maximum absolute error over the maximum of the reference.
TOLERANCE = {getattr(torch, dtype): limit for dtype, limit in ANY_METHOD.items()}


def exact(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """y and the gradients of x, weight and bias in float64."""
    x, weight, bias = leaves = [t.double().requires_grad_() for t in (x, weight, bias)]
    y = reference.fused_fourier_mix(x, weight, bias)
    grads = torch.autograd.grad(y, leaves, grad.double())
    return dict(zip(("y", "dx", "dweight", "dbias"), (y.detach(), *grads), strict=True))


def measured(name: str, inputs: list[Tensor], device: str) -> dict[str, Tensor]:
    """The results of our kernels that the test `name` compares."""
    x, weight, bias, grad = (t.to(device) for t in inputs)
    if name in ("forward", "general"):
        return {"y": fnet_kernels.fused_fourier_mix(x, weight, bias)}
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    y = fnet_kernels.fused_fourier_mix(x, weight, bias)
    if name == "training":
        return {"y": y.detach()}
    grads = torch.autograd.grad(y, leaves, grad)
    return dict(zip(("dx", "dweight", "dbias"), grads, strict=True))


def check(name: str, shape: tuple[int, int, int], dtype: torch.dtype, device: str) -> bool:
    """Run one shape and dtype. Returns whether every result is correct."""
    where = f"{name} {'x'.join(map(str, shape))} {str(dtype).removeprefix('torch.')}"
    print(f"{where}: running", flush=True)
    chance = torch.Generator().manual_seed(0)
    sizes = (shape, shape[-1:], shape[-1:], shape)
    inputs = [torch.randn(size, generator=chance).to(dtype) for size in sizes]
    expected = exact(*inputs)
    passed = True
    for result, value in measured(name, inputs, device).items():
        error = float((value.cpu().double() - expected[result]).abs().max())
        error /= float(expected[result].abs().max())
        passed &= error <= TOLERANCE[dtype]  # false for NaN
        print(f"{where}: {result} {error:.1e}, allowed {TOLERANCE[dtype]:.0e}", flush=True)
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["forward", "training", "backward", "general"])
    parser.add_argument("--rehearse", action="store_true", help="run on the CPU at tiny shapes")
    args = parser.parse_args()
    device = "cpu" if args.rehearse else "cuda"
    torch.zeros(1, device=device)  # create the context before the time limit starts
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    if args.name == "general" and not args.rehearse:
        torch.ops.fnet_kernels.set_cuda_path("general")
    passed = True
    for shape in REHEARSED if args.rehearse else SHAPES:
        path = fnet_kernels.explain(shape, dtype=torch.bfloat16, device=device)
        print(path, flush=True)
        for dtype in TOLERANCE:
            passed &= check(args.name, shape, dtype, device)
    print("correct" if passed else "WRONG")
    return 0 if passed else WRONG


if __name__ == "__main__":
    sys.exit(main())
