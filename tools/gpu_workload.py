"""Forward and backward passes for tools that observe our kernels: compute-sanitizer and ncu.

Without --shape it runs a small shape for each way our kernels are built, and each block, in three
dtypes. Inputs are created on the host and copied, so the tools count every byte as written,
whichever kernels they observe.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor

import fnet_kernels

# (batch, seq, hidden): one, two and three stages along each axis, a line with several warps, 8192
# with its special tile, and last the general path.
SHAPES = [
    (3, 16, 64),
    (1, 512, 768),
    (1, 2560, 64),
    (1, 8192, 64),
    (2, 16, 4096),
    (2, 17, 10),
]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def inputs(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> list[Tensor]:
    """x, weight, bias and the gradient of the result."""
    sizes = (shape, shape[-1:], shape[-1:], shape)
    return [torch.randn(size).to(dtype).to(device) for size in sizes]


def check(results: list[Tensor], what: str) -> None:
    for result in results:
        assert result.detach().cpu().isfinite().all(), f"{what}: not finite"


def run(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    """Run inference, training forward and backward, and check that all results are finite."""
    x, weight, bias, grad = inputs(shape, dtype, device)
    results = [fnet_kernels.fused_fourier_mix(x, weight, bias)]
    results.append(fnet_kernels.fourier_mix(x, scale=0.01))
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    y = fnet_kernels.fused_fourier_mix(x, weight, bias)
    results += torch.autograd.grad(y, leaves, grad)
    check(results, f"{shape} {dtype}")


def run_other_blocks(dtype: torch.dtype, device: str, backward: bool) -> None:
    """Pre-norm, RMSNorm, a residual of its own, and sequences of different lengths."""
    x, weight, bias, grad = inputs((2, 16, 64), dtype, device)
    leaves = [t.requires_grad_(backward) for t in (x, weight, bias)]
    options: list[dict[str, Any]] = [
        {"bias": bias, "norm": "ortho", "norm_first": True},
        {"norm_type": "rms"},
        {"bias": bias, "lengths": [16, 5], "round_to": 16},
    ]
    results = [fnet_kernels.fused_fourier_mix(x, weight, **each) for each in options]
    if backward:
        for y in list(results):
            found = torch.autograd.grad(y, leaves, grad, allow_unused=True)
            results += [t for t in found if t is not None]
    results.append(fnet_kernels.fourier_mix(x, norm="ortho", residual=grad))
    check(results, f"other blocks {dtype}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rehearse", action="store_true", help="run on the CPU")
    parser.add_argument(
        "--own", action="store_true", help="leave out the general path, which uses cuFFT"
    )
    parser.add_argument(
        "--control", action="store_true", help="make one error: read an uninitialised x"
    )
    parser.add_argument("--shape", help="run only this shape, such as 32x512x768")
    parser.add_argument("--dtype", choices=[str(d).removeprefix("torch.") for d in DTYPES])
    args = parser.parse_args()
    device = "cpu" if args.rehearse else "cuda"
    torch.manual_seed(0)
    if args.control:
        x = torch.empty(1, 16, 64, device=device)
        fnet_kernels.fourier_mix(x).cpu()
        return
    shapes: list[tuple[int, ...]] = list(SHAPES[:-1] if args.own else SHAPES)
    if args.shape:
        shapes = [tuple(map(int, args.shape.split("x")))]
    if args.rehearse:
        shapes = [(1, 16, 64), (2, 17, 10)]
    for shape in shapes:
        for dtype in [getattr(torch, args.dtype)] if args.dtype else DTYPES:
            run(shape, dtype, device)
        print(f"{'x'.join(map(str, shape))}: done", flush=True)
    if not args.shape:
        for dtype in DTYPES:  # float16 widens gradients by torch's kernels
            run_other_blocks(dtype, device, backward=not args.own)
        print("other blocks: done", flush=True)


if __name__ == "__main__":
    main()
