"""Every instruction set that this machine runs, by the same bars."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from comparison import assert_within_bar, norm_magnitude

from fnet_kernels import fused_fourier_mix, reference
from fnet_kernels._library import operators

ISAS = operators.cpu_isas().split(",")
SHAPES = [
    (1, 1),
    (1, 7),
    (7, 1),
    (2, 3),
    (16, 16),
    (31, 33),
    (64, 96),
    (90, 143),
    (512, 768),
    (13, 509),
]


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = operators.cpu_isa()
    operators.set_cpu_isa(request.param)
    yield request.param
    operators.set_cpu_isa(before)


def test_choice(isa: str) -> None:
    assert operators.cpu_isa() == isa
    operators.set_cpu_isa("auto")
    assert operators.cpu_isa() == ISAS[0]
    with pytest.raises(RuntimeError, match=r"set_cpu_isa: expected auto or one of .*, got abacus"):
        operators.set_cpu_isa("abacus")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("seq", "hidden"), SHAPES)
def test_forward(isa: str, dtype: torch.dtype, seq: int, hidden: int) -> None:
    x = torch.randn(3, seq, hidden).to(dtype)
    weight, bias = torch.randn(hidden).to(dtype), torch.randn(hidden).to(dtype)
    arguments = (x, weight, bias, 1e-3)
    truth = reference.fused_fourier_mix(*(t.double() for t in arguments[:3]), 1e-3)
    baseline = reference.fused_fourier_mix(*arguments)
    magnitude = norm_magnitude(x, 1e-3) * float(weight.abs().max())
    result = fused_fourier_mix(*arguments)
    assert_within_bar(result, truth, baseline, f"{isa} {seq}x{hidden}", magnitude)


@pytest.mark.parametrize(("seq", "hidden"), [(7, 5), (30, 44), (64, 96), (13, 509)])
def test_gradients(isa: str, seq: int, hidden: int) -> None:
    leaves = [
        t.double().requires_grad_() for t in (torch.randn(2, seq, hidden), torch.ones(hidden))
    ]
    grad = torch.randn(2, seq, hidden).double()
    ours = torch.autograd.grad(fused_fourier_mix(*leaves), leaves, grad)
    truth = torch.autograd.grad(reference.fused_fourier_mix(*leaves), leaves, grad)
    for mine, true in zip(ours, truth, strict=True):
        assert float((mine - true).abs().max()) < 1e-11 * float(true.abs().max())
