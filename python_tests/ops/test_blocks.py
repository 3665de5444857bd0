"""The blocks beside FNet's own: pre-norm, RMSNorm in either order, and a residual that is not x."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from fnet_kernels import explain, fourier_mix, fused_fourier_mix, reference
from fnet_kernels._ops import prenorm
from fnet_kernels._ops.autograd import RMS
from python_tests.helpers.close import assert_close
from python_tests.helpers.paths import ROOT
from python_tests.helpers.refused import assert_refused

OPS = torch.ops.fnet_kernels
Isas = Callable[[], Iterator[str]]

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
#: norm_first and norm_type.
BLOCKS = [(False, "layer"), (False, "rms"), (True, "layer"), (True, "rms")]
NEW = BLOCKS[1:]
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
EPS, SCALE = 0.5, 0.3


def formula(
    block: tuple[bool, str], x: Tensor, weight: Tensor, bias: Tensor | None, eps: float = EPS
) -> Tensor:
    """The block written out, in the precision of its arguments."""
    norm_first, norm_type = block

    def normalised(u: Tensor) -> Tensor:
        centred = u if norm_type == "rms" else u - u.mean(-1, keepdim=True)
        rows = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight
        return rows if bias is None else rows + bias

    def mixed(u: Tensor) -> Tensor:
        return SCALE * torch.fft.fft2(u).real

    return x + mixed(normalised(x)) if norm_first else normalised(x + mixed(x))


def ours(block: tuple[bool, str], x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    norm_first, norm_type = block
    return fused_fourier_mix(
        x, weight, bias, EPS, scale=SCALE, norm_first=norm_first, norm_type=norm_type
    )


def arguments(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """x, weight and, for LayerNorm, bias.

    Rows have a mean, except in post-norm, where it makes one element of the sum far larger than the
    others.
    """
    x = torch.randn(shape, dtype=torch.float64) + (0.5 if block[0] else 0)
    weight, bias = torch.rand(shape[-1]) + 0.5, torch.randn(shape[-1])
    tensors = (x, weight, bias) if block[1] == "layer" else (x, weight)
    return [t.to(dtype) for t in tensors]


def call(function: Any, block: tuple[bool, str], args: list[Tensor]) -> Tensor:
    result: Tensor = function(block, *args, *[None] * (3 - len(args)))
    return result


def wide(tensors: list[Tensor]) -> list[Tensor]:
    return [t.detach().double().requires_grad_() for t in tensors]


def assert_forward_and_backward(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    args = arguments(block, shape, dtype)
    leaves, truths = [t.clone().requires_grad_() for t in args], wide(args)
    y, truth = call(ours, block, leaves), call(formula, block, truths)
    assert y.dtype == dtype
    assert_close(y, truth, factor=2)
    assert torch.equal(call(ours, block, args), y)  # without autograd
    # Post-norm saves its rows in 16 bits. RMSNorm's rows of one element are all near 1 or -1: their
    # roundings are alike and add up in the gradient of weight, and 1 - row^2 cancels in that of x.
    alike = block == (False, "rms") and shape[-1] == 1 and dtype.itemsize == 2
    grad = torch.randn(shape, dtype=torch.float64).to(dtype)
    gradients = torch.autograd.grad(y, leaves, grad)
    expected = torch.autograd.grad(truth, truths, grad.double())
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
    for _ in each_isa():
        assert_forward_and_backward(block, shape, dtype)


@pytest.mark.usefixtures("general_path")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 60, 77), (3, 37, 96), (4, 3, 1)], ids=str)
@pytest.mark.parametrize("block", NEW, ids=str)
def test_the_general_path_agrees(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    assert explain(shape, dtype=dtype).path == "general"
    assert_forward_and_backward(block, shape, dtype)


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


def layouts(shape: tuple[int, ...]) -> dict[str, Tensor]:
    batch, seq, hidden = shape
    return {
        "transposed": torch.randn(batch, hidden, seq).transpose(1, 2),
        "sliced rows": torch.randn(batch, 2 * seq, hidden)[:, ::2],
        "offset": torch.randn(batch + 1, seq + 3, hidden + 7)[1:, 3:, 7:],
        "expanded batch": torch.randn(1, seq, hidden).expand(shape),
        "expanded rows": torch.randn(batch, 1, hidden).expand(shape),
    }


@pytest.mark.parametrize("shape", [(3, 40, 50), (2, 2048, 8), (9, 6, 5)], ids=str)
def test_any_strides(shape: tuple[int, ...]) -> None:
    """Of x and of the residual, which differ."""
    dense = torch.randn(shape)
    for t in layouts(shape).values():
        same = t.clone(memory_format=torch.contiguous_format)
        assert torch.equal(fourier_mix(dense, residual=t), fourier_mix(dense, residual=same))
        assert torch.equal(fourier_mix(t, residual=dense), fourier_mix(same, residual=dense))
        for norm_first, norm_type in NEW:
            results = [
                fused_fourier_mix(u, norm_first=norm_first, norm_type=norm_type)  # type: ignore[arg-type]
                for u in (t, same)
            ]
            assert torch.equal(*results)
            assert results[0].is_contiguous()


def test_the_residual_may_be_x() -> None:
    x = torch.randn(2, 16, 24, dtype=torch.float64, requires_grad=True)
    y = fourier_mix(x, scale=SCALE, residual=x)
    assert torch.equal(y, fourier_mix(x, scale=SCALE, residual=x.clone()))
    grad = torch.randn_like(x)
    (dx,) = torch.autograd.grad(y, x, grad)
    assert_close(dx, grad + SCALE * torch.fft.fft2(grad).real, factor=10)


# Derivatives


@pytest.mark.parametrize("wanted", ["x", "residual", "x residual"])
def test_gradcheck_residual(wanted: str) -> None:
    args = [torch.randn(2, 5, 6, dtype=torch.float64) for _ in range(2)]
    for name, arg in zip(("x", "residual"), args, strict=True):
        arg.requires_grad_(name in wanted.split())

    def mix(x: Tensor, residual: Tensor) -> Tensor:
        return fourier_mix(x, scale=SCALE, residual=residual)

    assert gradcheck(mix, args, check_forward_ad=True)
    assert gradgradcheck(lambda *args: mix(*args).square(), args)


WANTED = [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
@pytest.mark.parametrize("block", NEW, ids=str)
def test_gradcheck(block: tuple[bool, str], wanted: tuple[int, ...]) -> None:
    args = arguments(block, (2, 5, 6))
    if wanted[-1] >= len(args):
        return
    for i in wanted:
        args[i].requires_grad_()
    assert gradcheck(lambda *args: call(ours, block, args), args, check_forward_ad=True)  # type: ignore[arg-type]
    if wanted != (2,):
        assert gradgradcheck(lambda *args: call(ours, block, args), args)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", NEW, ids=str)
def test_the_transforms_of_torch_func(block: tuple[bool, str]) -> None:
    args = arguments(block, (2, 3, 4))

    def loss(function: Any) -> Callable[..., Tensor]:
        return lambda *args: call(function, block, list(args)).sin().sum()

    places = tuple(range(len(args)))
    for transform in (torch.func.jacrev, torch.func.jacfwd, torch.func.hessian):
        found, truth = (transform(loss(f), argnums=places)(*args) for f in (ours, formula))
        for a, b in zip(*map(torch.utils._pytree.tree_leaves, (found, truth)), strict=True):
            assert_close(a, b, factor=100)


@pytest.mark.parametrize("mapped", [(0,), (1,), (0, 1), (2,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("block", NEW, ids=str)
def test_vmap(block: tuple[bool, str], mapped: tuple[int, ...]) -> None:
    args = arguments(block, (2, 5, 6))
    if mapped[-1] >= len(args):
        return
    stacked = [torch.stack([t, 2 * t, t - 1], -1) if i in mapped else t for i, t in enumerate(args)]
    dims = tuple(-1 if i in mapped else None for i in range(len(args)))

    def gradients(*args: Tensor) -> tuple[Tensor, ...]:
        places = tuple(range(len(args)))
        loss = lambda *args: call(ours, block, list(args)).sin().sum()  # noqa: E731
        return (call(ours, block, list(args)), *torch.func.grad(loss, argnums=places)(*args))

    found = torch.vmap(gradients, dims)(*stacked)
    for i in range(3):
        one = [t[..., i] if j in mapped else t for j, t in enumerate(stacked)]
        for result, truth in zip(found, gradients(*one), strict=True):
            assert_close(result[i], truth, factor=100)


@pytest.mark.parametrize("dims", [(0, 0), (2, None), (None, 1)], ids=str)
def test_vmap_of_a_residual(dims: tuple[int | None, int | None]) -> None:
    x, residual = (torch.randn((4, 4, 4) if d is None else (4, 4, 4, 4)) for d in dims)
    found = torch.vmap(lambda x, r: fourier_mix(x, residual=r), dims)(x, residual)
    for i in range(4):
        one, other = (
            t if d is None else t.select(d, i) for t, d in zip((x, residual), dims, strict=True)
        )
        assert_close(found[i], fourier_mix(one, residual=other))


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("affine", [False, True])
def test_opcheck(affine: bool, requires_grad: bool) -> None:
    x, weight, bias = (
        torch.randn(size, dtype=torch.float64, requires_grad=requires_grad)
        for size in ((2, 6, 10), 10, 10)
    )
    vectors = (weight, bias) if affine else (None, None)
    opcheck(OPS.residual_fourier_mix.default, (x, x.detach() + 1, 0.5))
    opcheck(OPS.fused_rms_fourier_mix.default, (x, *vectors, 1e-5, 0.5))
    opcheck(OPS.fused_rms_fourier_mix_train.default, (x, *vectors, 1e-5, 0.5))
    for rms in (False, True):
        opcheck(OPS.prenorm_fourier_mix.default, (x, *vectors, 1e-5, 0.5, rms))


@pytest.mark.parametrize("need_weight", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opcheck_backward(dtype: torch.dtype, need_weight: bool) -> None:
    x, weight = torch.randn(2, 6, 10).to(dtype), torch.randn(10).to(dtype)
    tests = "test_faketensor" if dtype.itemsize == 2 else ("test_schema", "test_faketensor")
    needs = (need_weight, not need_weight)
    _, rows, rstd = OPS.fused_rms_fourier_mix_train(x, weight, None, 1e-5, 0.5)
    args = (torch.randn_like(x), rows, rstd, weight, 0.5, *needs)
    opcheck(OPS.fused_rms_fourier_mix_backward.default, args, test_utils=tests)
    _, mean, rstd = OPS.prenorm_fourier_mix(x, weight, None, 1e-5, 0.5, False)
    args = (torch.randn_like(x), x, mean, rstd, weight, 1e-5, 0.5, False, *needs)
    opcheck(OPS.prenorm_fourier_mix_backward.default, args, test_utils=tests)


@pytest.mark.parametrize("block", NEW, ids=str)
def test_one_graph_of_the_compiler(block: tuple[bool, str]) -> None:
    def loss(*args: Tensor) -> Tensor:
        return fourier_mix(args[0], residual=call(ours, block, list(args))).sin().sum()

    args = [t.requires_grad_() for t in arguments(block, (2, 8, 12))]
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    found, truth = (torch.autograd.grad(f(*args), args) for f in (compiled, loss))
    for a, b in zip(found, truth, strict=True):
        assert_close(a, b, factor=10)


@pytest.mark.parametrize("block", NEW, ids=str)
def test_a_scale_of_dynamic_sizes(block: tuple[bool, str]) -> None:
    norm_first, norm_type = block

    def ortho(x: Tensor) -> Tensor:
        y = fused_fourier_mix(x, eps=EPS, norm="ortho", norm_first=norm_first, norm_type=norm_type)  # type: ignore[arg-type]
        return fourier_mix(x, norm="ortho", residual=y)

    compiled = torch.compile(ortho, backend="aot_eager", fullgraph=True, dynamic=True)
    for seq in (8, 12):
        x = torch.randn(2, seq, 10, dtype=torch.float64)
        assert_close(compiled(x), ortho(x), factor=10)


def test_export_keeps_the_operators() -> None:
    class Block(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = fused_fourier_mix(x, norm_first=True)
            return fourier_mix(fused_fourier_mix(y, norm_type="rms"), residual=x)

    x = torch.randn(2, 8, 12)
    program = torch.export.export(Block(), (x,))
    for name in ("prenorm_fourier_mix", "fused_rms_fourier_mix", "residual_fourier_mix"):
        assert f"fnet_kernels.{name}.default" in str(program.graph)
    assert_close(program.module()(x), Block()(x))


def test_fx_records_the_calls() -> None:
    def block(x: Tensor, residual: Tensor) -> Tensor:
        y = fused_fourier_mix(x, norm_first=True, norm_type="rms")
        return fourier_mix(y, residual=residual)

    x, residual = torch.randn(2, 2, 8, 12)
    assert torch.equal(torch.fx.symbolic_trace(block)(x, residual), block(x, residual))


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


@pytest.mark.parametrize("norm_first", [False, True])
def test_what_autograd_saves(norm_first: bool) -> None:
    """Pre-norm saves x itself, post-norm the normalised rows; and numbers per row."""
    saved: list[Tensor] = []
    x = torch.randn(2, 8, 12, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        fused_fourier_mix(x, eps=EPS, norm_first=norm_first, norm_type="rms")
    own = [t for t in saved if t.data_ptr() != x.data_ptr()]
    assert sum(t.numel() for t in own) == (2 * 16 if norm_first else 16 * 12 + 16)


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


# Contracts


def run(block: tuple[bool, str], x: Tensor, grad: Tensor) -> list[Tensor]:
    leaves = [x.clone(), *arguments(block, tuple(x.shape), x.dtype)[1:]]
    leaves = [t.requires_grad_() for t in leaves]
    y = call(ours, block, leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(1, 512, 768), (5, 77, 200), (67, 9, 5), (3, 2048, 8)], ids=str)
@pytest.mark.parametrize("block", NEW, ids=str)
def test_bits_do_not_depend_on_threads(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x, grad = (torch.randn(shape).to(dtype) for _ in range(2))

    def results() -> list[Tensor]:
        torch.manual_seed(1)
        return [*run(block, x, grad), fourier_mix(x, residual=grad)]

    torch.set_num_threads(1)
    alone = results()
    for threads in (2, 3, 16):
        torch.set_num_threads(threads)
        assert all(map(torch.equal, results(), alone)), f"{threads} threads"


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(6, 30, 44), (6, 26, 77), (34, 6, 10), (6, 1, 5)], ids=str)
@pytest.mark.parametrize("block", NEW, ids=str)
def test_a_non_finite_value_fills_only_its_sequence(
    block: tuple[bool, str], shape: tuple[int, ...], dtype: torch.dtype, each_isa: Isas
) -> None:
    x, grad = (torch.randn(shape).to(dtype) for _ in range(2))
    for _ in each_isa():
        torch.manual_seed(1)
        clean = run(block, x, grad)
        for value in (float("nan"), float("inf"), -float("inf")):
            poisoned = x.clone()
            poisoned[1::2, shape[1] // 2, shape[2] // 3] = value
            torch.manual_seed(1)
            found = run(block, poisoned, grad)
            for result, truth in zip(found[:2], clean[:2], strict=True):  # y and the gradient of x
                assert torch.equal(result[::2], truth[::2])
            assert not found[0][1::2].isfinite().any()
            mixed = fourier_mix(poisoned, residual=grad)
            assert not mixed[1::2].isfinite().any()
            assert torch.equal(mixed[::2], fourier_mix(x, residual=grad)[::2])


MEMORY = """
import torch
from bench.contestants.blocks import PRE_NORM
from bench.measure.memory import cases
from bench.measure.pages import pages
from bench.measure.timing import Problem
assert pages("returned")
torch.set_num_threads(2)
for dtype in (torch.float32, torch.bfloat16):
    for batch in (1, 8):  # the first call makes code and tables
        problem = Problem.random((batch, 512, 768), dtype)
        sizes = cases(problem, PRE_NORM.ours).values()
    print(*(size / (4 * problem.x.numel()) for size in sizes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory.py reads /proc")
def test_pre_norm_needs_at_most_half_of_x() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ratios = [float(ratio) for ratio in done.stdout.split()]
    assert len(ratios) == 6
    assert 0 < max(ratios) <= 0.5


@pytest.mark.parametrize("shape", [(0, 4, 6), (2, 0, 6), (2, 4, 0), (0, 0)], ids=str)
@pytest.mark.parametrize("block", NEW, ids=str)
def test_empty_inputs(block: tuple[bool, str], shape: tuple[int, ...]) -> None:
    args = [t.requires_grad_() for t in arguments(block, shape, torch.float32)]
    y = call(ours, block, args)
    assert y.shape == shape
    y.sum().backward()
    for t in args:
        assert t.grad is not None
        assert t.grad.shape == t.shape
        assert not t.grad.any()
    assert fourier_mix(args[0], residual=args[0].detach() + 1).shape == shape


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_eps_none_is_that_of_rms_norm(dtype: torch.dtype) -> None:
    x = (1e-4 * torch.randn(2, 8, 12)).to(dtype)  # so that eps matters
    norm = torch.nn.RMSNorm(12, eps=None, dtype=dtype)
    y = fused_fourier_mix(x, eps=None, scale=0, norm_type="rms")
    assert_close(y, norm(x))
    assert (y.abs() < fused_fourier_mix(x, eps=0, scale=0, norm_type="rms").abs()).any()


X = torch.ones(2, 4, 6)
REFUSED: list[tuple[Callable[[], Any], type[Exception], list[str]]] = [
    (
        lambda: fourier_mix(X, residual=X[0]),
        ValueError,
        ["fourier_mix: residual", "shape of x, (2, 4, 6)", "got shape (4, 6)"],
    ),
    (
        lambda: fourier_mix(X, residual=X.double()),
        TypeError,
        ["fourier_mix: residual", "dtype of x, torch.float32", "got torch.float64"],
    ),
    (
        lambda: fourier_mix(X, residual=X.to("meta")),
        ValueError,
        ["fourier_mix: residual", "device of x, cpu", "got meta"],
    ),
    (
        lambda: fourier_mix(X, residual=1.0),  # type: ignore[arg-type]
        TypeError,
        ["fourier_mix: residual must be a torch.Tensor", "float"],
    ),
    (
        lambda: fourier_mix(X, residual=X.to_sparse()),
        TypeError,
        ["fourier_mix: residual must be a dense", "sparse"],
    ),
    (
        lambda: fused_fourier_mix(X, norm_type="batch"),  # type: ignore[arg-type]
        ValueError,
        ["fused_fourier_mix: norm_type must be 'layer' or 'rms'", "'batch'"],
    ),
    (
        lambda: fused_fourier_mix(X, norm_first=1),  # type: ignore[arg-type]
        TypeError,
        ["fused_fourier_mix: norm_first must be True or False", "got 1"],
    ),
    (
        lambda: fused_fourier_mix(X, None, X[0, 0], norm_type="rms"),
        ValueError,
        ["fused_fourier_mix: bias must be None", '"rms"'],
    ),
    (
        lambda: fused_fourier_mix(X, eps=None, norm_first=True),
        TypeError,
        ["fused_fourier_mix: eps must be a Python number", "None"],
    ),
    (
        lambda: fused_fourier_mix(X, X[0], norm_first=True),
        ValueError,
        ["fused_fourier_mix: weight must have shape (6,)", "got shape (4, 6)"],
    ),
    (
        lambda: OPS.residual_fourier_mix(X, X[0]),
        RuntimeError,
        ["residual_fourier_mix: expected residual of the shape"],
    ),
    (
        lambda: OPS.prenorm_fourier_mix(X, None, None, -1.0, 1.0, False),
        RuntimeError,
        ["prenorm_fourier_mix: expected a non-negative eps, got -1"],
    ),
    (
        lambda: OPS.prenorm_fourier_mix_backward(
            X, X[0], X[..., 0], X[..., 0], None, 0.1, 1.0, False, True, True
        ),
        RuntimeError,
        ["prenorm_fourier_mix_backward: expected x of the shape"],
    ),
    (
        lambda: OPS.prenorm_fourier_mix_backward(
            X, X, X[..., 0].double(), X[..., 0], None, 0.1, 1.0, False, True, True
        ),
        RuntimeError,
        ["prenorm_fourier_mix_backward: expected mean of one element a row"],
    ),
]


@pytest.mark.parametrize(("wrong", "error", "words"), REFUSED)
def test_wrong_arguments_are_named(
    wrong: Callable[[], Any], error: type[Exception], words: list[str]
) -> None:
    assert_refused(wrong, error, words)
