"""The Hartley transform: its definition and identities, and composition with torch.

Where a test of another file covers `fourier_mix` and `hartley_mix` alike, it is not repeated:
accuracy, random calls, non-finite values, transforms of torch.func, ONNX and DTensor.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck
from torch.utils._python_dispatch import TorchDispatchMode

from fnet_kernels import fourier_mix, functional, hartley_mix, reference
from python_tests.helpers.close import assert_close
from python_tests.helpers.refused import assert_refused

pytestmark = pytest.mark.usefixtures("one_thread")

OP = torch.ops.fnet_kernels.hartley_mix.default
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
SHAPES = [
    (1, 1),
    (2, 2),
    (1, 2),
    (2, 1),
    (1, 7),
    (8, 1),
    (5, 6),  # odd and even
    (3, 6, 5),
    (2, 3, 16, 24),  # lengths with Fourier kernels
    (2, 37, 24),  # and without
    (3, 9, 15),
]
NORMS: list[Any] = ["backward", "ortho", "forward"]
LENGTH = st.one_of(st.integers(1, 40), st.sampled_from([64, 97, 100, 128]))
quick = settings(max_examples=40, deadline=None, derandomize=True)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def formula(x: Tensor) -> Tensor:
    spectrum = torch.fft.fft2(x)
    return spectrum.real - spectrum.imag


def cas(seq: int, hidden: int) -> Tensor:
    """cas(2 pi (k n / seq + l m / hidden)), of shape [k, l, n, m]."""
    k, n = torch.arange(seq).double(), torch.arange(seq).double()
    l, m = torch.arange(hidden).double(), torch.arange(hidden).double()  # noqa: E741
    turns = (k[:, None] * n / seq)[:, None, :, None] + (l[:, None] * m / hidden)[None, :, None, :]
    return torch.cos(2 * math.pi * turns) + torch.sin(2 * math.pi * turns)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reference_is_the_definition(shape: tuple[int, ...]) -> None:
    x = numbers(*shape)
    assert_close(reference.hartley_mix(x), formula(x))
    assert_close(reference.hartley_mix(x, scale=0.25, norm="ortho"), formula(x) / 4 * factor(x))
    assert_close(formula(x), torch.einsum("klnm,...nm->...kl", cas(*shape[-2:]), x), factor=10)


def factor(x: Tensor, norm: str = "ortho") -> float:
    count = x.shape[-2] * x.shape[-1]
    return float({"backward": 1, "ortho": count**-0.5, "forward": 1 / count}[norm])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_float64(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = numbers(*shape).to(dtype)
    before, truth = x.clone(), formula(x.double())
    y = hartley_mix(x)
    assert (y.dtype, y.is_contiguous()) == (dtype, True)
    assert_close(y, truth)
    for norm in NORMS:
        assert_close(hartley_mix(x, scale=-0.3, norm=norm), -0.3 * truth * factor(x, norm))
    assert torch.equal(x, before)
    if max(shape[-2:]) > 2:  # the spectrum has an imaginary part
        for wrong in (fourier_mix(x.double()), torch.fft.fft2(x.double()).imag, 1.01 * truth):
            with pytest.raises(AssertionError, match="relative error"):
                assert_close(y, wrong)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_16_bits_are_computed_in_float32_and_rounded_once(dtype: torch.dtype) -> None:
    for shape in SHAPES:
        x = numbers(*shape).to(dtype)
        assert torch.equal(hartley_mix(x), hartley_mix(x.float()).to(dtype))
        assert torch.equal(reference.hartley_mix(x), reference.hartley_mix(x.float()).to(dtype))


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0)], ids=str)
def test_empty_inputs_have_empty_results(shape: tuple[int, ...]) -> None:
    for dtype in DTYPES:
        x = torch.empty(shape, dtype=dtype, requires_grad=True)
        y = hartley_mix(x, norm="ortho")
        assert (y.shape, y.dtype) == (shape, dtype)
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.shape == shape
        assert reference.hartley_mix(x).shape == shape


def test_any_strides() -> None:
    base = torch.randn(6, 40, 50)
    for x in (
        base.mT,
        base[:, ::2],
        base[..., 1::3],
        base[1:, 3:, 7:],
        base[:1].expand(4, 40, 50),
        base[..., :1].expand(6, 40, 8),
        base.reshape(2, 3, 40, 50).transpose(0, 1),
    ):
        assert_close(hartley_mix(x), formula(x.double()))


@quick
@given(LENGTH, LENGTH)
def test_twice_is_the_identity(seq: int, hidden: int) -> None:
    x = numbers(seq, hidden)
    assert_close(hartley_mix(hartley_mix(x)), seq * hidden * x)
    assert_close(hartley_mix(hartley_mix(x, norm="ortho"), norm="ortho"), x)
    # The Fourier mixing loses half of x, so the identity above is not trivial.
    if seq * hidden > 4:
        assert not torch.allclose(fourier_mix(fourier_mix(x)), seq * hidden * x)


@quick
@given(LENGTH, LENGTH)
def test_self_adjoint(seq: int, hidden: int) -> None:
    x, y = numbers(seq, hidden), numbers(seq, hidden, seed=1)
    left, right = (hartley_mix(x) * y).sum(), (x * hartley_mix(y)).sum()
    assert abs(float(left - right)) <= 1e-12 * float(hartley_mix(x).norm() * y.norm())


@quick
@given(LENGTH, LENGTH)
def test_the_even_part_is_the_fourier_mixing(seq: int, hidden: int) -> None:
    y = hartley_mix(numbers(seq, hidden))
    mirrored = y.flip(-2, -1).roll((1, 1), (-2, -1))
    assert_close((y + mirrored) / 2, fourier_mix(numbers(seq, hidden)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "shape", [(1, 512, 768), (5, 77, 1000), (3, 128, 509), (7, 256, 192)], ids=str
)
def test_bits_do_not_depend_on_threads(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape).to(dtype)
    torch.set_num_threads(1)
    alone = hartley_mix(x)
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        assert torch.equal(hartley_mix(x), alone), f"{threads} threads"


# Derivatives.


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 4), (2, 4, 5), (1, 7), (11, 2)], ids=str)
def test_gradcheck(shape: tuple[int, ...]) -> None:
    x = numbers(*shape).requires_grad_()
    for mix in (lambda x: hartley_mix(x, scale=0.3), lambda x: OP(x, 0.3)):
        assert gradcheck(mix, x, check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(mix, x)


class Calls(TorchDispatchMode):
    """Records all operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradient_is_the_operator_itself(dtype: torch.dtype) -> None:
    x, grad = numbers(2, 8, 12).to(dtype).requires_grad_(), numbers(2, 8, 12, seed=1).to(dtype)
    with Calls() as calls:
        y = hartley_mix(x, scale=0.3)
        (dx,) = torch.autograd.grad(y, x, grad)
    assert calls.names.count("fnet_kernels.hartley_mix.default") == 2
    assert [name for name in calls.names if "detach" not in name] == [str(OP)] * 2
    assert torch.equal(dx, hartley_mix(grad, scale=0.3))


# Composition with torch.


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_opcheck(dtype: torch.dtype, requires_grad: bool) -> None:
    x = numbers(2, 6, 10).to(dtype).requires_grad_(requires_grad)
    for args in ((x,), (x, 0.5), (x.mT, 0.5)):
        opcheck(OP, args)


def loss(mix: Any) -> Any:
    return lambda x: mix(x, scale=0.1).sin().sum()


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compile_takes_every_length_without_recompiling(backend: str) -> None:
    torch.compiler.reset()
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(loss(hartley_mix), fullgraph=True, dynamic=True, backend=counter)
    frames = []
    for batch, seq in ((2, 7), (3, 16), (4, 37)):
        x = numbers(batch, seq, 12).requires_grad_()
        (ours,) = torch.autograd.grad(compiled(x), x)
        (expected,) = torch.autograd.grad(loss(reference.hartley_mix)(x), x)
        assert_close(ours, expected, factor=100)
        frames.append(counter.frame_count)
    assert len(set(frames)) == 1


@pytest.mark.parametrize("norm", NORMS)
def test_compile_with_a_scale_of_the_length(norm: Any) -> None:
    torch.compiler.reset()
    compiled = torch.compile(
        lambda x: hartley_mix(x, norm=norm), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for seq in (7, 16):
        x = numbers(2, seq, 12)
        assert_close(compiled(x), formula(x) * factor(x, norm))


class Mixing(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return hartley_mix(x, scale=0.5)


def test_export_with_a_dynamic_length() -> None:
    seq = torch.export.Dim("seq")
    program = torch.export.export(Mixing(), (torch.randn(2, 8, 12),), dynamic_shapes=({1: seq},))
    assert str(OP) in {str(node.target) for node in program.graph.nodes}
    x = torch.randn(2, 11, 12)
    assert torch.equal(program.module()(x), hartley_mix(x, scale=0.5))


def test_symbolic_trace_records_the_call() -> None:
    traced = torch.fx.symbolic_trace(Mixing())
    assert [node.target for node in traced.graph.nodes].count(functional.hartley_mix) == 1


@pytest.mark.parametrize("in_dim", [0, 1, 2, -1])
def test_vmap(in_dim: int) -> None:
    x = numbers(3, 4, 5)
    expected = torch.stack([formula(part) for part in x.unbind(in_dim)])
    assert_close(torch.vmap(hartley_mix, in_dim)(x), expected)
    assert_close(torch.vmap(lambda x: OP(x, scale=2.0), in_dim)(x), 2 * expected)
    assert torch.vmap(hartley_mix)(x[:0]).shape == (0, 4, 5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_meta_inference_and_autocast(dtype: torch.dtype) -> None:
    x = numbers(2, 8, 12).to(dtype)
    y = hartley_mix(x.to("meta"))
    assert (y.shape, y.dtype, y.device.type) == (x.shape, dtype, "meta")
    with torch.inference_mode():
        assert torch.equal(hartley_mix(x), hartley_mix(x.clone()))
    with torch.autocast("cpu", torch.bfloat16):
        wide = hartley_mix(x)
    assert wide.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.equal(wide, hartley_mix(x.to(wide.dtype)))


X = torch.ones(2, 3, 4)
ERRORS: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: hartley_mix([1.0]), TypeError, ["hartley_mix: x", "torch.Tensor", "got list"]),
    (lambda: hartley_mix(X.int()), TypeError, ["hartley_mix: x", "got torch.int32"]),
    (lambda: hartley_mix(X[0, 0]), ValueError, ["x", "[..., seq, hidden]", "got shape (4,)"]),
    (lambda: hartley_mix(X, scale="1"), TypeError, ["hartley_mix: scale", "number", "got str"]),
    (lambda: hartley_mix(X, scale=math.inf), ValueError, ["hartley_mix: scale", "got inf"]),
    (lambda: hartley_mix(X, norm="x"), ValueError, ["hartley_mix: norm", "'ortho'", "got 'x'"]),
    (lambda: reference.hartley_mix(X, norm=1), ValueError, ["hartley_mix: norm", "got 1"]),
    (lambda: hartley_mix(X.to_sparse()), TypeError, ["hartley_mix: x", "torch.sparse_coo"]),
    (lambda: OP(X.int()), RuntimeError, ["hartley_mix: expected x of dtype", "got Int"]),
    (lambda: OP(X[0, 0]), RuntimeError, ["hartley_mix: expected x of at least 2 dims", "got 1"]),
    (lambda: OP(X, math.nan), RuntimeError, ["hartley_mix: expected scale", "finite", "nan"]),
]


@pytest.mark.parametrize(("call", "error", "words"), ERRORS)
def test_errors_name_expected_and_actual_values(
    call: Any, error: type[Exception], words: list[str]
) -> None:
    assert_refused(call, error, words)
