"""Results are deterministic and do not depend on the number of threads, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fnet_kernels import fused_fourier_mix


def results(x: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    y = fused_fourier_mix(*leaves)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(x.shape, generator=generator).to(x.dtype)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "shape",
    [
        *[(1, 512, 768), (3, 256, 192), (5, 77, 1000), (5, 1600, 768)],
        *[(3, 128, 509), (7, 512, 768), (3, 700, 130)],
    ],
    ids=str,
)
def test_bits_do_not_depend_on_threads(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape).to(dtype)
    weight, bias = torch.randn(shape[-1]).to(dtype), torch.randn(shape[-1]).to(dtype)
    torch.set_num_threads(1)
    alone = results(x, weight, bias)
    for threads in (1, 2, 3, 16):
        torch.set_num_threads(threads)
        for mine, first in zip(results(x, weight, bias), alone, strict=True):
            assert torch.equal(mine, first), f"{threads} threads"


def test_the_comparison_detects_one_bit() -> None:
    x = torch.randn(1, 64, 96)
    other = x.clone()
    other[0, 0, 0] = torch.nextafter(other[0, 0, 0], torch.tensor(9.0))
    assert not torch.equal(fused_fourier_mix(x), fused_fourier_mix(other))
