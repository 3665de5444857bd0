"""Derivatives of the other blocks, and their calls under torch's transforms and compilers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from fnet_kernels import fourier_mix, fused_fourier_mix
from python_tests.helpers.blocks import DTYPES, EPS, NEW, SCALE, arguments, call, formula, ours
from python_tests.helpers.close import assert_close

OPS = torch.ops.fnet_kernels


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
