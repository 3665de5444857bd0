"""Derivatives of every order, for every choice of inputs, and under torch's transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor
from torch._dynamo import compiled_autograd
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounterWithBackend
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import fnet_kernels as fk
from fnet_kernels import reference
from fnet_kernels._ops.derivatives import Reverse
from python_tests.helpers.close import assert_close, relative_error

pytestmark = pytest.mark.usefixtures("one_thread")

OPS = torch.ops.fnet_kernels
Function = Callable[..., Tensor]


def inputs(
    *shape: int, dtype: torch.dtype = torch.float64, requires_grad: bool = True
) -> list[Tensor]:
    sizes = (shape, shape[-1:], shape[-1:])
    return [torch.randn(size, dtype=dtype).requires_grad_(requires_grad) for size in sizes]


def loss(mix: Function) -> Function:
    """A loss whose gradient with respect to y differs from element to element."""
    return lambda *args: mix(*args).sin().sum()


@pytest.mark.parametrize("shape", [(5, 6), (2, 4, 7), (1, 11), (1, 17, 2)], ids=str)
def test_gradcheck_fourier_mix(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: fk.fourier_mix(x, scale=0.3), x)
    assert gradgradcheck(lambda x: fk.fourier_mix(x, scale=0.3), x)


WANTED = ["x", "weight", "bias", "x weight", "x bias", "weight bias", "x weight bias"]


@pytest.mark.parametrize("wanted", WANTED)
def test_gradcheck_fused(wanted: str) -> None:
    args = inputs(2, 5, 6, requires_grad=False)
    for name, arg in zip(("x", "weight", "bias"), args, strict=True):
        arg.requires_grad_(name in wanted.split())
    mix = lambda *args: fk.fused_fourier_mix(*args, 1e-3, scale=0.3)  # noqa: E731
    assert gradcheck(mix, args)
    if wanted != "bias":  # y is linear in bias, so its second derivative is zero
        assert gradgradcheck(mix, args)


@pytest.mark.usefixtures("general_path")
@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 3, 7)], ids=str)
def test_gradcheck_fused_on_the_general_path(shape: tuple[int, ...]) -> None:
    args = inputs(*shape)
    assert fk.explain(args[0]).path == "general"
    mix = lambda *args: fk.fused_fourier_mix(*args, 1e-3, scale=0.3)  # noqa: E731
    assert gradcheck(mix, args)
    assert gradgradcheck(mix, args)


@pytest.mark.parametrize("affine", ["", "weight", "bias"])
def test_gradcheck_fused_without_weight_or_bias(affine: str) -> None:
    x, weight, bias = inputs(2, 4, 7)
    args = (x, weight if affine == "weight" else None, bias if affine == "bias" else None)
    assert gradcheck(fk.fused_fourier_mix, args)
    assert gradgradcheck(fk.fused_fourier_mix, args)


@pytest.mark.parametrize("op", [OPS.fused_fourier_mix, OPS.fused_fourier_mix_train])
def test_gradcheck_of_the_operators_themselves(op: Any) -> None:
    args = inputs(2, 4, 6)
    assert gradcheck(lambda *args: op(*args, 1e-3, 0.3), args)
    assert gradgradcheck(lambda *args: op(*args, 1e-3, 0.3), args)


TOLERANCES = [
    (torch.float64, 1e-13),
    (torch.float32, 3e-6),
    (torch.bfloat16, 2.0**-7),
    (torch.float16, 2.0**-10),
]


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES, ids=str)
@pytest.mark.parametrize("shape", [(3, 32, 48), (2, 37, 20)], ids=str)
def test_gradients_in_every_dtype(
    shape: tuple[int, ...], dtype: torch.dtype, tolerance: float, create_graph: bool
) -> None:
    args = [t.detach().to(dtype).requires_grad_() for t in inputs(*shape)]
    wide = [t.detach().double().requires_grad_() for t in args]
    grad = torch.randn(shape).to(dtype)
    ours = torch.autograd.grad(fk.fused_fourier_mix(*args), args, grad, create_graph=create_graph)
    expected = torch.autograd.grad(reference.fused_fourier_mix(*wide), wide, grad.double())
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == dtype
        assert relative_error(a, b) <= tolerance


def test_expanded_and_strided_gradients() -> None:
    args = inputs(3, 8, 6)
    for shape in ((), (3, 6, 8)):  # all strides 0, as from y.sum(); transposed
        grad = torch.randn(shape, dtype=torch.float64)
        grad = grad.expand(3, 8, 6) if shape == () else grad.transpose(1, 2)
        ours = torch.autograd.grad(fk.fused_fourier_mix(*args, 1e-3), args, grad)
        expected = torch.autograd.grad(reference.fused_fourier_mix(*args, 1e-3), args, grad)
        scale = max(float(t.abs().max()) for t in expected)
        for a, b in zip(ours, expected, strict=True):
            assert float((a - b).abs().max()) <= 1e-12 * scale


class Calls(TorchDispatchMode):
    """Records the operators of this library that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "fnet_kernels":
            self.names.append(func._opname)
        return func(*args, **(kwargs or {}))


NEEDED = [
    # wanted, operators of the backward pass, number of saved tensors
    ("x weight bias", ["fused_fourier_mix_backward"], 3),  # rows, rstd, weight
    ("x", ["fused_fourier_mix_backward"], 3),
    ("weight bias", [], 1),  # rows
    ("bias", [], 0),
]


@pytest.mark.parametrize(("wanted", "backward", "saved"), NEEDED)
def test_only_needed_gradients_cost_work_and_memory(
    wanted: str, backward: list[str], saved: int
) -> None:
    args = inputs(2, 5, 6, requires_grad=False)
    for name, arg in zip(("x", "weight", "bias"), args, strict=True):
        arg.requires_grad_(name in wanted.split())
    packed: list[Tensor] = []
    with Calls() as calls:
        with saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):  # type: ignore[func-returns-value]
            y = fk.fused_fourier_mix(*args)
        y.backward(torch.randn_like(y))
    assert calls.names == ["fused_fourier_mix_train", *backward]
    assert len(packed) == saved


def test_without_gradients_the_inference_operator_runs() -> None:
    args = inputs(2, 5, 6)
    with Calls() as calls, torch.no_grad():
        y = fk.fused_fourier_mix(*args)
    assert calls.names == ["fused_fourier_mix"]
    assert not y.requires_grad
    with Calls() as calls:
        fk.fused_fourier_mix(*(t.detach() for t in args))
    assert calls.names == ["fused_fourier_mix"]


def agree(transform: Callable[[Function], Any]) -> None:
    """Check that `transform` has the same result for this library and the reference."""
    ours, expected = transform(fk.fused_fourier_mix), transform(reference.fused_fourier_mix)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


def test_func_grad() -> None:
    args = inputs(2, 5, 6, requires_grad=False)
    agree(lambda mix: torch.func.grad(loss(mix), (0, 1, 2))(*args))
    agree(lambda mix: torch.func.grad(loss(mix))(args[0]))


def test_func_hessian_by_reverse_over_reverse() -> None:
    x, weight, bias = inputs(1, 3, 4, requires_grad=False)
    agree(lambda mix: torch.func.jacrev(torch.func.grad(lambda x: loss(mix)(x, weight, bias)))(x))


def test_per_sample_gradients() -> None:
    args = inputs(3, 5, 6, requires_grad=False)
    in_dims = (0, None, None)
    agree(lambda mix: torch.vmap(torch.func.grad(loss(mix), (0, 1, 2)), in_dims)(*args))


def test_gradient_of_vmap() -> None:
    args = inputs(3, 5, 6, requires_grad=False)
    in_dims = (0, None, None)
    agree(lambda mix: torch.func.grad(loss(torch.vmap(mix, in_dims)), (0, 1, 2))(*args))


def test_batched_gradients() -> None:
    args = inputs(2, 3, 4)
    grads = torch.randn(5, 2, 3, 4, dtype=torch.float64)
    agree(lambda mix: torch.autograd.grad(mix(*args), args, grads, is_grads_batched=True))


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 17, 4)], ids=str)
@pytest.mark.parametrize("wanted", WANTED)
def test_forward_mode(wanted: str, shape: tuple[int, ...]) -> None:
    args = inputs(*shape, requires_grad=False)
    for name, arg in zip(("x", "weight", "bias"), args, strict=True):
        arg.requires_grad_(name in wanted.split())
    mix = lambda *args: fk.fused_fourier_mix(*args, 1e-3, scale=0.3)  # noqa: E731
    assert gradcheck(mix, args, check_forward_ad=True)
    assert gradcheck(fk.fourier_mix, args[0].requires_grad_(), check_forward_ad=True)


@pytest.mark.parametrize("affine", [False, True])
def test_jvp_and_hessian_under_torch_func(affine: bool) -> None:
    x, weight, bias = inputs(3, 4, requires_grad=False)
    tangent = torch.randn_like(x)

    def both(module: Any) -> list[Tensor]:
        rows = (weight, bias) if affine else (None, None)
        fused = lambda x: module.fused_fourier_mix(x, *rows, 1e-3)  # noqa: E731
        mapped = torch.vmap(lambda t: torch.func.jvp(fused, (x,), (t,))[1])
        return [
            *torch.func.jvp(fused, (x,), (tangent,)),
            torch.func.jvp(module.fourier_mix, (x,), (tangent,))[1],
            torch.func.jacfwd(fused)(x),
            mapped(torch.stack([tangent, 2 * tangent])),
            torch.func.hessian(lambda x: fused(x).sin().sum())(x),
            torch.func.hessian(lambda x: module.fourier_mix(x).sin().sum())(x),
        ]

    for ours, expected in zip(both(fk), both(reference), strict=True):
        assert_close(ours, expected, 100)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_forward_mode_keeps_the_dtypes_of_results(dtype: torch.dtype) -> None:
    x, weight, bias = inputs(3, 4, dtype=dtype, requires_grad=False)
    calls = (
        lambda t: OPS.fused_fourier_mix_train(t, weight, bias, 1e-5, 1.0),
        lambda t: OPS.fused_rms_fourier_mix_train(t, weight, None, 1e-5, 1.0),
        lambda t: OPS.prenorm_fourier_mix(t, weight, bias, 1e-5, 1.0, False),
    )
    for call in calls:
        with forward_ad.dual_level():
            duals = call(forward_ad.make_dual(x, x))
        expected = call(x)
        assert [(t.dtype, t.shape) for t in duals] == [(t.dtype, t.shape) for t in expected]


def test_the_statistics_of_pre_norm_are_not_differentiable() -> None:
    x, weight, bias = inputs(3, 4)
    y, mean, rstd = OPS.prenorm_fourier_mix(x, weight, bias, 1e-5, 1.0, False)
    assert [t.requires_grad for t in (y, mean, rstd)] == [True, False, False]


def test_forward_over_reverse() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    tangent = torch.randn(3, 4, dtype=torch.float64)

    def second(mix: Function) -> Tensor:
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x, tangent)
            (grad,) = torch.autograd.grad(mix(dual, None, None, 1e-3).sin().sum(), dual)
            return forward_ad.unpack_dual(grad).tangent

    assert_close(second(fk.fused_fourier_mix), second(reference.fused_fourier_mix), 100)


def test_derivatives_are_not_those_of_autograd_functions() -> None:
    """From torch 2.14 on, `autograd.Function.apply` refuses `torch.func` in a kernel."""
    assert Reverse.__subclasses__()
    assert not issubclass(Reverse, torch.autograd.Function)


def test_compiled_autograd() -> None:
    def gradients() -> tuple[Tensor, ...]:
        args = [arg.clone().requires_grad_() for arg in plain]
        loss(fk.fused_fourier_mix)(*args).backward()
        return tuple(torch.zeros(0) if arg.grad is None else arg.grad for arg in args)

    plain = inputs(2, 5, 6, requires_grad=False)
    expected = gradients()
    torch.compiler.reset()
    with compiled_autograd._enable(torch.compile(backend="eager")):
        torch.testing.assert_close(gradients(), expected)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoint(use_reentrant: bool) -> None:
    args = inputs(2, 5, 6)
    plain = torch.autograd.grad(loss(fk.fused_fourier_mix)(*args), args)
    y = checkpoint(fk.fused_fourier_mix, *args, use_reentrant=use_reentrant)
    y.sin().sum().backward()
    for arg, grad in zip(args, plain, strict=True):
        assert arg.grad is not None
        assert torch.equal(arg.grad, grad)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_backward_takes_every_length(backend: str) -> None:
    torch.compiler.reset()
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(
        loss(fk.fused_fourier_mix), fullgraph=True, dynamic=True, backend=counter
    )
    frames = []
    for seq in (7, 16, 37):
        args = inputs(2, seq, 12)
        ours = torch.autograd.grad(compiled(*args), args)
        expected = torch.autograd.grad(loss(reference.fused_fourier_mix)(*args), args)
        for a, b in zip(ours, expected, strict=True):
            assert relative_error(a, b) <= 1e-11
        frames.append(counter.frame_count)
    assert len(set(frames)) == 1


def test_compiled_training_runs_the_fused_operators() -> None:
    torch.compiler.reset()
    names: list[str] = []

    def record(graph: torch.fx.GraphModule, _: Any) -> Any:
        ops = (node.target for node in graph.graph.nodes if node.op == "call_function")
        names.extend(op._opname for op in ops if getattr(op, "namespace", "") == "fnet_kernels")
        return make_boxed_func(graph.forward)

    backend = aot_autograd(fw_compiler=record, bw_compiler=record)
    args = inputs(2, 5, 6)
    torch.compile(loss(fk.fused_fourier_mix), fullgraph=True, backend=backend)(*args).backward()
    assert names == ["fused_fourier_mix_train", "fused_fourier_mix_backward"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_trains_float32_parameters(dtype: torch.dtype) -> None:
    args = [t.detach().float().requires_grad_() for t in inputs(2, 8, 12)]
    with torch.autocast("cpu", torch.bfloat16):
        y = fk.fused_fourier_mix(args[0].to(dtype), *args[1:])
    assert y.dtype == torch.float32
    ours = torch.autograd.grad(y.float().sin().sum(), args)
    expected = torch.autograd.grad(loss(reference.fused_fourier_mix)(*args), args)
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == torch.float32
        assert relative_error(a, b) <= (1e-5 if dtype == torch.float32 else 2e-2)


def test_distributed_data_parallel(tmp_path: Any) -> None:
    module = fk.FusedFourierMix(12).double()
    x = torch.randn(2, 8, 12, dtype=torch.float64)

    def step() -> None:
        torch.nn.parallel.DistributedDataParallel(module)(x).sin().sum().backward()

    dist = torch.distributed
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        step()  # frees its DistributedDataParallel before the group, which could deadlock otherwise
    finally:
        dist.destroy_process_group()
    expected = torch.func.grad(loss(reference.fused_fourier_mix), (1, 2))(
        x, module.weight.detach(), module.bias.detach()
    )
    assert_close(module.weight.grad, expected[0], factor=100)
    assert_close(module.bias.grad, expected[1], factor=100)
