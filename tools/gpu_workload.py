"""Forward and backward passes for tools that observe our kernels: compute-sanitizer and ncu.

Without --shape it runs a small shape for each way our kernels are built, in three dtypes. Inputs
are created on the host and copied, so the tools count every byte as written, whichever kernels they
observe.
"""

from __future__ import annotations

import argparse

import torch

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


def run(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> None:
    """Run inference, training forward and backward, and check that all results are finite."""
    sizes = (shape, shape[-1:], shape[-1:], shape)
    x, weight, bias, grad = (torch.randn(size).to(dtype).to(device) for size in sizes)
    results = [fnet_kernels.fused_fourier_mix(x, weight, bias)]
    results.append(fnet_kernels.fourier_mix(x, scale=0.01))
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    y = fnet_kernels.fused_fourier_mix(x, weight, bias)
    results += torch.autograd.grad(y, leaves, grad)
    for result in results:
        assert result.detach().cpu().isfinite().all(), f"{shape} {dtype}: not finite"


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


if __name__ == "__main__":
    main()
