"""Contracts of the other blocks: layouts, threads, non-finite values, memory and errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fnet_kernels import fourier_mix, fused_fourier_mix
from python_tests.helpers.blocks import DTYPES, EPS, NEW, arguments, call, ours
from python_tests.helpers.paths import ROOT
from python_tests.helpers.refused import assert_refused

OPS = torch.ops.fnet_kernels
Isas = Callable[[], Iterator[str]]


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


@pytest.mark.parametrize("norm_first", [False, True])
def test_what_autograd_saves(norm_first: bool) -> None:
    """Pre-norm saves x itself, post-norm the normalised rows; and numbers per row."""
    saved: list[Tensor] = []
    x = torch.randn(2, 8, 12, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        fused_fourier_mix(x, eps=EPS, norm_first=norm_first, norm_type="rms")
    own = [t for t in saved if t.data_ptr() != x.data_ptr()]
    assert sum(t.numel() for t in own) == (2 * 16 if norm_first else 16 * 12 + 16)


def run(block: tuple[bool, str], x: Tensor, grad: Tensor) -> list[Tensor]:
    leaves = [x.clone(), *arguments(block, tuple(x.shape), x.dtype)[1:]]
    leaves = [t.requires_grad_() for t in leaves]
    y = call(ours, block, leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


#: All are large enough for several threads.
SHARED = [
    (1, 512, 768),
    (2, 128, 192),
    (5, 77, 200),
    (2, 33, 509),
    (67, 91, 5),
    (3, 2048, 8),
    (2, 6, 4000),
    (4, 1009, 9),
]


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHARED, ids=str)
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
        lambda: fused_fourier_mix(X, norm_first=0),  # type: ignore[arg-type]
        TypeError,
        ["fused_fourier_mix: norm_first must be True or False", "got 0"],
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
        ["prenorm_fourier_mix: expected eps that is finite and not negative, got -1"],
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
