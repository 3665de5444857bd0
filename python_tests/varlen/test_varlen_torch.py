"""Sequences of different lengths under torch: derivatives of every kind, compilers, exporters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

import fnet_kernels as fk
from python_tests.helpers.close import assert_close

OPS = torch.ops.fnet_kernels
LENGTHS, CU = [3, 0, 5, 2], [0, 3, 3, 8, 10]
#: The offsets of calls that one graph serves.
BATCHES = [[0, 3, 8, 10], [0, 4, 6, 10], [0, 4, 6, 12], [0, 2, 9, 15]]

each_layout = pytest.mark.parametrize("shape", [(10, 4), (4, 6, 4)], ids=["packed", "padded"])
each_multiple = pytest.mark.parametrize("round_to", [1, 4])


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def operators(round_to: int) -> list[tuple[Callable[..., Any], list[Tensor]]]:
    """The differentiable operators as functions of their tensors, and the tensors beside x."""
    where = (LENGTHS, round_to, "ortho")
    return [
        (lambda x: OPS.fourier_mix_varlen(x, *where, 0.5, True), []),
        (
            lambda x, w, b: OPS.fused_fourier_mix_varlen(x, w, b, *where, 0.1, 0.5),
            [numbers(4), numbers(4)],
        ),
    ]


@each_layout
@each_multiple
def test_opcheck(shape: tuple[int, ...], round_to: int) -> None:
    x, weight, bias = numbers(*shape), numbers(4), numbers(4)
    where = (LENGTHS, round_to, "ortho")
    opcheck(OPS.fourier_mix_varlen.default, (x, *where, 0.5, True))
    for op in (OPS.fused_fourier_mix_varlen, OPS.fused_fourier_mix_varlen_train):
        opcheck(op.default, (x, weight, bias, *where, 1e-3, 0.5))
    y, rows, rstd = OPS.fused_fourier_mix_varlen_train(x, weight, bias, *where, 1e-3, 0.5)
    saved = (t.detach().requires_grad_() for t in (torch.randn_like(y), rows, rstd))
    arguments = (*saved, weight, *where, 0.5, True, True)
    opcheck(OPS.fused_fourier_mix_varlen_backward.default, arguments)


@pytest.mark.parametrize("of_x", [False, True])
def test_gradients_of_weight_and_bias_are_of_mixed_rows(of_x: bool) -> None:
    x, weight, bias = numbers(4, 6, 4).requires_grad_(of_x), numbers(4), numbers(4)
    y = fk.fused_fourier_mix(x, weight, bias, lengths=LENGTHS)
    mixed = torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    grad = torch.ones_like(y).masked_fill(~mixed[..., None], torch.nan)
    dweight, dbias = torch.autograd.grad(y, (weight, bias), grad)
    assert torch.equal(dbias, torch.full_like(dbias, sum(LENGTHS)))
    assert_close(dweight, ((y - bias) / weight)[mixed].sum(0), factor=100)


@each_layout
@each_multiple
def test_derivatives(shape: tuple[int, ...], round_to: int) -> None:
    """Reverse and forward mode, batched, and of second order."""
    for call, affine in operators(round_to):
        tensors = (numbers(*shape), *affine)
        batched = {"check_batched_grad": True, "check_batched_forward_grad": True}
        assert gradcheck(call, tensors, check_forward_ad=True, **batched)
        assert gradgradcheck(call, tensors, check_fwd_over_rev=True)


@each_layout
@each_multiple
def test_vmap(shape: tuple[int, ...], round_to: int) -> None:
    x = numbers(3, *shape).detach()
    for call, affine in operators(round_to):
        fixed = [t.detach() for t in affine]
        expected = torch.stack([call(one, *fixed) for one in x])
        mapped = torch.vmap(lambda t, call=call, fixed=fixed: call(t, *fixed))
        assert torch.equal(mapped(x), expected)
        assert torch.equal(torch.vmap(mapped, 2, 2)(torch.stack([x, x], 2))[:, :, 0], expected)
        if fixed:
            weights = torch.randn(3, 4, dtype=torch.float64)
            each = [call(one, w, fixed[1]) for one, w in zip(x, weights, strict=True)]
            found = torch.vmap(call, (0, 0, None))(x, weights, fixed[1])
            assert_close(found, torch.stack(each), 10)
            one = torch.vmap(call, (None, 0, None))(x[0], weights, fixed[1])
            assert_close(one[1], call(x[0], weights[1], fixed[1]), 10)

            def loss(w: Tensor, t: Tensor, call: Any = call, fixed: Any = fixed) -> Tensor:
                return call(t, w, fixed[1]).square().sum()

            gradients = torch.vmap(torch.func.grad(loss), (None, 0))(fixed[0], x)
            assert_close(gradients[1], torch.func.grad(loss)(fixed[0], x[1]), 10)


def doubled(x: Tensor, cu: Any, round_to: int | None = None) -> Tensor:
    return fk.fused_fourier_mix_varlen(x, cu, norm="ortho", round_to=round_to) * 2


@pytest.mark.parametrize("kind", [list, torch.tensor], ids=["list", "tensor"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_one_graph_for_all_lengths(backend: str, kind: Callable[[list[int]], Any]) -> None:
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(doubled, fullgraph=True, dynamic=True, backend=counter)
    compiled(torch.randn(10, 4, requires_grad=True), kind(BATCHES[0]))
    graphs = counter.frame_count
    for cu in BATCHES:
        x = torch.randn(cu[-1], 4, requires_grad=True)
        y, expected = compiled(x, kind(cu)), doubled(x, cu)
        assert torch.equal(y, expected)
        (dx,) = torch.autograd.grad(y.square().sum(), x)
        assert torch.equal(dx, torch.autograd.grad(expected.square().sum(), x)[0])
    assert counter.frame_count == graphs > 0


def test_a_compiled_call_refuses_wrong_offsets() -> None:
    compiled = torch.compile(doubled, fullgraph=True, dynamic=True, backend="eager")
    x = torch.randn(10, 4)
    with pytest.raises(RuntimeError, match=r"length between 0 and 2 at index 1, got -5"):
        compiled(x, torch.tensor([0, 8, 3, 10]))
    with pytest.raises(RuntimeError, match=r"rows of x, 10, got 9"):
        compiled(x, torch.tensor([0, 8, 8, 9]))


def test_inductor() -> None:
    compiled = torch.compile(doubled, fullgraph=True, dynamic=True)
    for cu in BATCHES[:2]:
        for round_to in (None, 4):
            x = torch.randn(cu[-1], 4, requires_grad=True)
            y, expected = compiled(x, cu, round_to), doubled(x, cu, round_to)
            assert_close(y, expected.double())
            (dx,) = torch.autograd.grad(y.square().sum(), x)
            right = torch.autograd.grad(expected.square().sum(), x)[0]
            assert_close(dx, right.double(), 10)


def mask_of(seq: int) -> Callable[[list[int]], Tensor]:
    return lambda lengths: torch.arange(seq) < torch.tensor(lengths)[:, None]


def test_padded_rows_compile() -> None:
    def call(x: Tensor, lengths: Any) -> Tensor:
        return fk.fused_fourier_mix(x, lengths=lengths, scale=x.shape[1] ** -0.5)

    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    for seq, lengths in ((6, [3, 5]), (7, [2, 6]), (9, [1, 1])):
        x = torch.randn(2, seq, 4, requires_grad=True)
        for kind in (list, torch.tensor, mask_of(seq)):
            assert_close(compiled(x, kind(lengths)), call(x, lengths).double(), 4)
    with pytest.raises(ValueError, match="a True after a False in sequence 0"):
        compiled(x, mask_of(9)([1, 1]).flip(-1))


@pytest.mark.parametrize("kind", [torch.tensor, mask_of(6)], ids=["integers", "mask"])
def test_one_graph_for_all_batch_sizes(kind: Callable[[list[int]], Tensor]) -> None:
    module = fk.FusedFourierMix(4)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(module, dynamic=True, fullgraph=True, backend=counter)
    compiled(torch.randn(3, 6, 4), kind([6, 3, 4]))
    graphs = counter.frame_count
    for lengths in ([6, 3], [5, 0, 2], [1, 1, 6, 2, 4]):
        x = torch.randn(len(lengths), 6, 4)
        assert torch.equal(compiled(x, kind(lengths)), module(x, lengths))
    assert counter.frame_count == graphs > 0


@pytest.mark.parametrize("given", [list, torch.tensor, Tensor.tolist], ids=lambda g: g.__name__)
def test_only_the_parameters_of_a_graph_need_gradients(given: Callable[[Any], Any]) -> None:
    module = fk.FusedFourierMix(4)

    def call(x: Tensor, lengths: Any) -> Tensor:
        numbers = lengths.tolist() if given is Tensor.tolist else given(lengths)
        return module(x, lengths=numbers).square().sum()

    x = torch.randn(2, 6, 4)
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    for lengths in (torch.tensor([5, 2]), torch.tensor([6, 0])):
        numbers = lengths if given is Tensor.tolist else lengths.tolist()
        found = torch.autograd.grad(compiled(x, numbers), [*module.parameters()])
        expected = torch.autograd.grad(call(x, numbers), [*module.parameters()])
        for a, b in zip(found, expected, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("module", [fk.FourierMix(), fk.FusedFourierMix(4)], ids=["mix", "fused"])
@pytest.mark.parametrize("kind", [torch.tensor, mask_of(6)], ids=["integers", "mask"])
def test_an_exported_module_serves_other_lengths(
    module: nn.Module, kind: Callable[[list[int]], Tensor]
) -> None:
    sizes = {0: torch.export.Dim("batch")}
    example = torch.randn(3, 6, 4), kind([3, 5, 6])
    shapes = {"x": sizes, "lengths": sizes}
    exported = torch.export.export(module, example, dynamic_shapes=shapes).module()
    for lengths in ([6, 2, 0], [4, 1]):
        x = torch.randn(len(lengths), 6, 4)
        assert_close(exported(x, kind(lengths)), module(x, lengths).double(), 4)


class Packed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return fk.fused_fourier_mix_varlen(x, CU, round_to=4)


class Padded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return fk.fourier_mix(x, lengths=[3, 1])


@pytest.mark.parametrize(
    ("model", "shape"), [(Packed(), (10, 4)), (Padded(), (2, 5, 4))], ids=["packed", "padded"]
)
def test_traced_and_exported(model: nn.Module, shape: tuple[int, ...]) -> None:
    x, other = torch.randn(shape), torch.randn(shape)
    exported = torch.export.export(model, (x,)).module()
    for traced in (torch.fx.symbolic_trace(model), exported, torch.jit.trace(model, x)):
        assert torch.equal(traced(other), model(other))
    decomposed = torch.export.export(model, (x,)).run_decompositions(
        torch._decomp.decomposition_table
    )
    assert not [n for n in decomposed.graph.nodes if "fnet" in str(n.target)]
    assert_close(decomposed.module()(other), model(other).double(), 4)


def test_autocast() -> None:
    x = torch.randn(10, 4).bfloat16()
    with torch.autocast("cpu"):
        results = [
            fk.fourier_mix_varlen(x, CU),
            fk.fused_fourier_mix_varlen(x, CU, torch.ones(4)),
            fk.fourier_mix(x, lengths=[7]),
            OPS.fourier_mix_varlen(x, LENGTHS),
        ]
    assert [y.dtype for y in results] == [torch.float32] * 4
    assert torch.equal(results[0], fk.fourier_mix_varlen(x.float(), CU))


def test_meta_tensors() -> None:
    x = torch.empty(10, 4, device="meta")
    assert fk.fused_fourier_mix_varlen(x, CU).shape == x.shape
    assert fk.fourier_mix_varlen(x, CU).device.type == "meta"
