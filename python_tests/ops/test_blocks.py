"""The blocks beside FNet's own: pre-norm, RMSNorm in either order, and a residual that is not x."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from fnet_kernels import explain, fourier_mix, fused_fourier_mix, reference
from fnet_kernels._ops import prenorm
from fnet_kernels._ops.autograd import RMS
from python_tests.helpers.blocks import (
    BLOCKS,
    DTYPES,
    EPS,
    NEW,
    SCALE,
    arguments,
    call,
    formula,
    ours,
    wide,
)
from python_tests.helpers.close import assert_close

# The bits do not depend on the number of threads: test_block_contracts.py.
pytestmark = pytest.mark.usefixtures("one_thread")

OPS = torch.ops.fnet_kernels
Isas = Callable[[], Iterator[str]]

#: Tiles, a sequence per lane, long axes, odd and prime lengths, rows of one element.
SHAPES = [
    (2, 128, 192),
    (3, 37, 96),
    (2, 60, 77),
    (2, 33, 509),
    (20, 16, 12),
    (7, 7, 5),
    (2, 2048, 8),
    (2, 6, 2000),
    (2, 1009, 9),
    (4, 3, 1),
    (3, 1, 64),
    (40, 1, 1),
]


def assert_forward_and_backward(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype, isas: Isas
) -> None:
    args = arguments(block, shape, dtype)
    truths = wide(args)
    truth = call(formula, block, truths)
    grad = torch.randn(shape, dtype=torch.float64).to(dtype)
    expected = torch.autograd.grad(truth, truths, grad.double())
    # Post-norm saves its rows in 16 bits. RMSNorm's rows of one element are all near 1 or -1: their
    # roundings are alike and add up in the gradient of weight, and 1 - row^2 cancels in that of x.
    alike = block == (False, "rms") and shape[-1] == 1 and dtype.itemsize == 2
    for _ in isas():
        leaves = [t.clone().requires_grad_() for t in args]
        y = call(ours, block, leaves)
        assert y.dtype == dtype
        assert_close(y, truth, factor=2)
        assert torch.equal(call(ours, block, args), y)  # without autograd
        gradients = torch.autograd.grad(y, leaves, grad)
        for gradient, exact, leaf in zip(gradients, expected, leaves, strict=True):
            assert (gradient.dtype, gradient.shape) == (leaf.dtype, leaf.shape)
            # The gradient of LayerNorm's weight vanishes for rows of one element.
            if exact.abs().max() > 1e-6 and not alike:
                assert_close(gradient, exact, factor=2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_agrees_with_the_formula(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype, each_isa: Isas
) -> None:
    assert_forward_and_backward(block, shape, dtype, each_isa)


@pytest.mark.usefixtures("general_path")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 60, 77), (3, 37, 96), (4, 3, 1)], ids=str)
@pytest.mark.parametrize("block", NEW, ids=str)
def test_the_general_path_agrees(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    assert explain(shape, dtype=dtype).path == "general"
    assert_forward_and_backward(block, shape, dtype, lambda: iter(["in use"]))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_perturbed_result_is_detected(block: tuple[bool, str]) -> None:
    args = arguments(block, (2, 37, 96), torch.float32)
    y, truth = call(ours, block, args), call(formula, block, wide(args))
    assert_close(y, truth, factor=2)
    y[1, 36, 95] += 1e-4 * y.abs().max()
    with pytest.raises(AssertionError, match="relative error"):
        assert_close(y, truth, factor=2)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_blocks_differ(block: tuple[bool, str]) -> None:
    x, weight, *_ = arguments(block, (2, 9, 15))
    y = ours(block, x, weight, None)
    for other in BLOCKS:
        close = torch.allclose(y, formula(other, x, weight, None), rtol=1e-3)
        assert close == (other == block)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_reference_is_the_formula(block: tuple[bool, str]) -> None:
    args = arguments(block, (2, 9, 15))
    norm_first, norm_type = block
    named = {"eps": EPS, "scale": SCALE, "norm_first": norm_first, "norm_type": norm_type}
    assert_close(reference.fused_fourier_mix(*args, **named), call(formula, block, args), factor=10)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_residual_is_added(shape: tuple[int, ...], dtype: torch.dtype, each_isa: Isas) -> None:
    x, residual = (torch.randn(shape, dtype=torch.float64).to(dtype) for _ in range(2))
    truth = residual.double() + SCALE * torch.fft.fft2(x.double()).real
    for _ in each_isa():
        assert_close(fourier_mix(x, scale=SCALE, residual=residual), truth)
    assert_close(reference.fourier_mix(x, scale=SCALE, residual=residual), truth)
    with pytest.raises(AssertionError, match="relative error"):
        assert_close(fourier_mix(x, scale=SCALE, residual=residual + residual), truth)


@pytest.mark.usefixtures("general_path")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_residual_is_added_on_the_general_path(dtype: torch.dtype) -> None:
    test_a_residual_is_added((2, 37, 96), dtype, lambda: iter([""]))


def test_the_residual_may_be_x() -> None:
    x = torch.randn(2, 16, 24, dtype=torch.float64, requires_grad=True)
    y = fourier_mix(x, scale=SCALE, residual=x)
    assert torch.equal(y, fourier_mix(x, scale=SCALE, residual=x.clone()))
    grad = torch.randn_like(x)
    (dx,) = torch.autograd.grad(y, x, grad)
    assert_close(dx, grad + SCALE * torch.fft.fft2(grad).real, factor=10)


# Each is another view that begins at x's first element.
ALIASES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "the first sequence for all": lambda x: x[:1].expand_as(x),
    "the first row for all": lambda x: x[:, :1].expand_as(x),
    "the first row of all": lambda x: x[:1, :1].expand_as(x),
    "other rows": lambda x: x.as_strided(x.shape, (x.stride(0), x.stride(1) * 2, 1)),
}


# Sequences in lanes, real rows in lanes, tiles, lines in parts.
@pytest.mark.parametrize("shape", [(32, 4, 8), (33, 1, 8), (8, 64, 7), (2, 64, 96), (2, 1, 6000)])
@pytest.mark.parametrize("view", ALIASES)
def test_the_residual_may_be_another_view_of_x(
    view: str, shape: tuple[int, int, int], each_isa: Isas
) -> None:
    batch, seq, hidden = shape
    for dtype in DTYPES:
        rows = torch.randn(batch, 2 * seq, hidden, dtype=torch.float64).to(dtype)
        x = rows[:, :seq]
        residual = ALIASES[view](x)
        assert residual.data_ptr() == x.data_ptr()
        truth = residual.double() + SCALE * torch.fft.fft2(x.double()).real
        for _ in each_isa():
            assert_close(fourier_mix(x, scale=SCALE, residual=residual), truth)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("block", NEW, ids=str)
def test_autocast_computes_in_float32(block: tuple[bool, str], dtype: torch.dtype) -> None:
    args = arguments(block, (2, 9, 15), dtype)
    with torch.autocast("cpu", dtype=dtype):
        y = call(ours, block, args)
        mixed = fourier_mix(args[0], scale=SCALE, residual=args[0].double())
    assert y.dtype == mixed.dtype == torch.float32
    assert_close(y, call(formula, block, wide(args)), factor=2)
    assert_close(
        mixed, reference.fourier_mix(args[0].double(), scale=SCALE, residual=args[0].double())
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("block", NEW, ids=str)
def test_float32_parameters_of_16_bit_x(block: tuple[bool, str], dtype: torch.dtype) -> None:
    args = arguments(block, (3, 37, 96), dtype)
    args[1:] = [t.float() for t in args[1:]]
    leaves, truths = [t.requires_grad_() for t in args], wide(args)
    y, truth = call(ours, block, leaves), call(formula, block, truths)
    assert_close(y, truth)
    grad = torch.randn_like(y)
    gradients = torch.autograd.grad(y, leaves, grad)
    expected = torch.autograd.grad(truth, truths, grad.double())
    assert [g.dtype for g in gradients] == [dtype, *[torch.float32] * (len(args) - 1)]
    for gradient, exact in zip(gradients, expected, strict=True):
        assert_close(gradient.to(dtype), exact, factor=2)


def test_the_gradient_of_float16_keeps_its_range() -> None:
    """The mix of the gradient exceeds float16, and the gradient does not: rows are large."""
    x = (1000 * torch.randn(2, 64, 96)).half().requires_grad_()
    grad = (1000 * torch.randn(2, 64, 96)).half()
    assert fourier_mix(grad).isinf().any()
    y = fused_fourier_mix(x, eps=EPS, norm_first=True)
    (dx,) = torch.autograd.grad(y, x, grad)
    wide_x = x.detach().double().requires_grad_()
    truth = reference.fused_fourier_mix(wide_x, eps=EPS, norm_first=True)
    assert_close(dx, torch.autograd.grad(truth, wide_x, grad.double())[0])


#: What derivatives of second order and forward mode compute instead of an operator.
COMPOSED = {
    **RMS.composed,
    prenorm.forward: prenorm.composed,
    prenorm.backward: prenorm.composed_backward,
}


@pytest.mark.parametrize("op", COMPOSED, ids=str)
def test_the_operators_are_composed_of_differentiable_ones(op: Any) -> None:
    x, weight, bias = torch.randn(2, 12, 9).transpose(1, 2), torch.randn(12), torch.randn(12)
    names = [argument.name for argument in op._schema.arguments]
    values = {"x": x, "residual": x + 1, "grad": x - 1, "weight": weight, "bias": bias, "eps": EPS}
    values |= {"scale": SCALE, "rms": False, "need_weight": True, "need_bias": True}
    if "mean" in names:
        _, mean, rstd = OPS.prenorm_fourier_mix(x, None, None, EPS, SCALE, False)
        values |= {"mean": mean, "rstd": rstd}
    else:
        _, rows, rstd = OPS.fused_rms_fourier_mix_train(x, None, None, EPS, SCALE)
        values |= {"normalized": rows, "rstd": rstd}
    args = [values[name] for name in names]
    found, truth = (torch.utils._pytree.tree_leaves(f(*args)) for f in (COMPOSED[op], op))
    for a, b in zip(found, truth, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if b.any():
            assert_close(a, b, factor=4)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_eps_none_is_that_of_rms_norm(dtype: torch.dtype) -> None:
    x = (1e-4 * torch.randn(2, 8, 12)).to(dtype)  # so that eps matters
    norm = torch.nn.RMSNorm(12, eps=None, dtype=dtype)
    y = fused_fourier_mix(x, eps=None, scale=0, norm_type="rms")
    assert_close(y, norm(x))
    assert (y.abs() < fused_fourier_mix(x, eps=0, scale=0, norm_type="rms").abs()).any()
