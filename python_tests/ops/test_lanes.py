"""Where the lanes hold sequences or parts of a line: accuracy, and equal bits on any threads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fnet_kernels import explain, fused_fourier_mix, reference
from python_tests.helpers import close

#: By what the lanes hold: full and partly filled groups, an odd and an even number of columns.
SHAPES = {
    "sequences": [(64, 8, 8), (100, 3, 32), (37, 17, 12), (200, 1, 40)],
    "parts of seq": [(1, 2000, 6), (2, 1024, 7)],
    "parts of hidden": [(1, 2, 4096), (1, 1, 2500)],
}
CASES = [(lanes, shape) for lanes, shapes in SHAPES.items() for shape in shapes]


def results(function: object, x: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """y and the gradients of x, weight and bias for a fixed gradient of y."""
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
    y = function(*leaves, x.shape[1] * x.shape[2] / 2)  # type: ignore[operator]
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("lanes", "shape"), CASES, ids=str)
def test_forward_and_backward(lanes: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if dtype == torch.float32:
        assert explain(shape).lanes in (lanes, "sequences")
    x = torch.randn(shape, dtype=torch.float64).to(dtype)
    weight, bias = torch.rand(shape[-1]).to(dtype) + 0.5, torch.randn(shape[-1]).to(dtype)
    expected = results(reference.fused_fourier_mix, x.double(), weight.double(), bias.double())
    for found, right in zip(results(fused_fourier_mix, x, weight, bias), expected, strict=True):
        close.assert_close(found, right)


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize(("lanes", "shape"), CASES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_bits_do_not_depend_on_threads(
    lanes: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x = torch.randn(shape[0] * 8, *shape[1:]).to(dtype)
    weight, bias = torch.randn(shape[-1]).to(dtype), torch.randn(shape[-1]).to(dtype)
    torch.set_num_threads(1)
    alone = results(fused_fourier_mix, x, weight, bias)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        for mine, first in zip(results(fused_fourier_mix, x, weight, bias), alone, strict=True):
            assert torch.equal(mine, first), f"{threads} threads"
