"""Run by `make wheel-check` where the wheel is installed: forward and backward against torch.fft.

Fails when it runs under the torch that the wheel was built with, or on the source tree's package:
then it would prove nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

import fnet_kernels

TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.bfloat16: 2e-2,
    torch.float16: 2e-3,
}
SHAPES = [(2, 96, 48), (2, 37, 48), (3, 1, 5)]  # our kernels, the general path, one token


def formula(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The definition, by torch.fft."""
    mixed = x + torch.fft.fft2(x).real
    return torch.nn.functional.layer_norm(mixed, x.shape[-1:], weight, bias, 1e-12)


def largest_error(shape: tuple[int, ...], dtype: torch.dtype) -> float:
    """Of y and of the three gradients, against the formula in float64, relative to the largest."""
    sizes = (shape, shape[-1:], shape[-1:], shape)
    x, weight, bias, grad = (torch.randn(size, dtype=torch.float64).to(dtype) for size in sizes)
    results = []
    for mix, to in ((fnet_kernels.fused_fourier_mix, dtype), (formula, torch.float64)):
        leaves = [t.to(to).requires_grad_() for t in (x, weight, bias)]
        y = mix(*leaves)
        results.append([y.detach(), *torch.autograd.grad(y, leaves, grad.to(to))])
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*results, strict=True))


def main() -> None:
    """Print one line per dtype; exit status 1 with the reason when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built-with", required=True, help="torch's version at build time")
    built_with = parser.parse_args().built_with
    if built_with == torch.__version__:
        sys.exit(f"torch {built_with} is the one that the wheel was built with: choose another")
    package = Path(fnet_kernels.__file__)
    if "site-packages" not in package.parts:
        sys.exit(f"{package} is not an installed wheel")
    torch.manual_seed(0)
    for dtype, tolerance in TOLERANCES.items():
        error = max(largest_error(shape, dtype) for shape in SHAPES)
        print(f"{dtype}: largest error {error:.1e}")
        if not error <= tolerance:
            sys.exit(f"{dtype}: error {error:.1e} is above {tolerance:.0e}")
    print(f"wheel built with torch {built_with} is right under torch {torch.__version__}")


if __name__ == "__main__":
    main()
