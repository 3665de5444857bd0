"""The first question to a GPU: does each kernel run, and is it right? Twenty seconds for each.

    python -m tools.gpu_smoke forward     seq_fft and row_fft
    python -m tools.gpu_smoke training    row_fft with what it keeps for the backward pass
    python -m tools.gpu_smoke backward    row_grad (dweight, dbias) and seq_grad (dx)
    python -m tools.gpu_smoke general     the path around cuFFT, and its kernels

Four shapes and three dtypes each, against float64 on the CPU. A line is printed before each run and
its errors after it, so that the last line of a hang says where. After twenty seconds of work the
process prints where it is and ends itself, which needs no signal to reach a thread that waits for
the device.
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
#: One small, the common one, the longest line along seq in whole sectors, the longest along hidden.
SHAPES = [(3, 16, 64), (4, 512, 768), (1, 4096, 768), (2, 64, 4096)]
REHEARSED = [(3, 16, 64), (2, 32, 48)]
#: max |error| over max |exact|
TOLERANCE = {getattr(torch, dtype): most for dtype, most in ANY_METHOD.items()}


def exact(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """y and the gradients of x, weight and bias, in float64."""
    x, weight, bias = leaves = [t.double().requires_grad_() for t in (x, weight, bias)]
    y = reference.fused_fourier_mix(x, weight, bias)
    grads = torch.autograd.grad(y, leaves, grad.double())
    return dict(zip(("y", "dx", "dweight", "dbias"), (y.detach(), *grads), strict=True))


def measured(name: str, inputs: list[Tensor], device: str) -> dict[str, Tensor]:
    """The same by our kernels: `forward` gives y alone, as `general` does with the other path."""
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
    """Run one shape and dtype; whether every result is right."""
    where = f"{name} {'x'.join(map(str, shape))} {str(dtype).removeprefix('torch.')}"
    print(f"{where}: runs", flush=True)
    chance = torch.Generator().manual_seed(0)
    sizes = (shape, shape[-1:], shape[-1:], shape)
    inputs = [torch.randn(size, generator=chance).to(dtype) for size in sizes]
    right = exact(*inputs)
    good = True
    for result, value in measured(name, inputs, device).items():
        # A sum over all rows collects as many roundings; its terms have the size of dy.
        error = float((value.cpu().double() - right[result]).abs().max())
        error /= float(right[result].abs().max())
        good &= error <= TOLERANCE[dtype]  # False of NaN
        print(f"{where}: {result} {error:.1e} of {TOLERANCE[dtype]:.0e} allowed", flush=True)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["forward", "training", "backward", "general"])
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, at tiny shapes")
    args = parser.parse_args()
    device = "cpu" if args.rehearse else "cuda"
    torch.zeros(1, device=device)  # the context is not what is timed
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    if args.name == "general" and not args.rehearse:
        torch.ops.fnet_kernels.set_cuda_path("general")
    good = True
    for shape in REHEARSED if args.rehearse else SHAPES:
        path = fnet_kernels.explain(shape, dtype=torch.bfloat16, device=device)
        print(path, flush=True)
        for dtype in TOLERANCE:
            good &= check(args.name, shape, dtype, device)
    print("right" if good else "WRONG")
    return 0 if good else WRONG


if __name__ == "__main__":
    sys.exit(main())
