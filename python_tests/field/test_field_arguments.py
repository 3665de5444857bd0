"""Arguments as people give them to torch: norm, symbolic scales, float32 parameters, sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounterWithBackend
from torch._functorch.aot_autograd import make_boxed_func
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import layer_norm

import fnet_kernels as fk
from fnet_kernels import reference
from python_tests.helpers.close import assert_close, relative_error

NORMS = ["backward", "ortho", "forward"]
LOW = [torch.bfloat16, torch.float16]


def formula(x: Tensor, norm: str | None, scale: float = 1.0) -> Tensor:
    return scale * torch.fft.fft2(x, norm=norm).real


# norm


@pytest.mark.parametrize("norm", [*NORMS, None])
def test_norm_is_that_of_torch_fft(norm: Any) -> None:
    x = torch.randn(2, 9, 12, dtype=torch.float64)
    truth = formula(x, norm, 0.5)
    for module in (fk, reference):
        assert_close(module.fourier_mix(x, scale=0.5, norm=norm), truth)
        fused = module.fused_fourier_mix(x, eps=1e-5, scale=0.5, norm=norm)
        assert_close(fused, layer_norm(x + truth, (12,), eps=1e-5), factor=10)
    assert_close(fk.FourierMix(0.5, norm=norm)(x), truth)
    module = fk.FusedFourierMix(12, 1e-5, scale=0.5, norm=norm, dtype=torch.float64)
    assert_close(module(x), layer_norm(x + truth, (12,), eps=1e-5), factor=10)


def test_the_encoder_passes_norm_on() -> None:
    x = torch.randn(2, 9, 16)
    encoder = fk.FNetEncoder(2, 16, 32, mixer=fk.FourierMix(norm="ortho")).eval()
    same = fk.FNetEncoder(2, 16, 32, mixer=fk.FourierMix((9 * 16) ** -0.5)).eval()
    same.load_state_dict(encoder.state_dict())
    assert_close(encoder(x), same(x))
    assert relative_error(encoder(x), fk.FNetEncoder(2, 16, 32).eval()(x)) > 1e-3
    assert "norm=ortho" in repr(encoder)


def test_an_orthonormal_mix_twice_keeps_the_even_part() -> None:
    x = torch.randn(2, 9, 12, dtype=torch.float64)
    mirrored = x.flip(-2, -1).roll((1, 1), (-2, -1))
    mix = fk.FourierMix(norm="ortho")
    assert_close(mix(mix(x)), (x + mirrored) / 2, factor=2)


@pytest.mark.parametrize("norm", ["ortho", "forward"])
def test_gradients_with_norm(norm: Any) -> None:
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, dtype=torch.float64, requires_grad=True)
    for ours, theirs in (
        (fk.fourier_mix(x, norm=norm), formula(x, norm)),
        (
            fk.fused_fourier_mix(x, weight, eps=1e-3, norm=norm),
            layer_norm(x + formula(x, norm), (6,), weight, eps=1e-3),
        ),
    ):
        assert_close(
            torch.autograd.grad(ours.sin().sum(), x)[0],
            torch.autograd.grad(theirs.sin().sum(), x)[0],
            factor=10,
        )


@pytest.mark.parametrize("norm", NORMS)
def test_empty_x_with_norm(norm: Any) -> None:
    for shape in ((2, 0, 4), (2, 3, 0), (0, 3, 4)):
        assert fk.fourier_mix(torch.empty(shape), norm=norm).shape == shape


def test_float16_with_norm_does_not_overflow() -> None:
    x = torch.full((512, 768), 10.0, dtype=torch.float16)
    y = fk.fourier_mix(x, norm="forward")
    assert y.isfinite().all()
    assert_close(y, formula(x.double(), "forward"))


# One graph for all lengths


@pytest.mark.parametrize("norm", NORMS)
def test_one_compiled_graph_for_all_lengths(norm: Any) -> None:
    torch.compiler.reset()
    counter = CompileCounterWithBackend("aot_eager")

    def both(x: Tensor, weight: Tensor) -> Tensor:
        return fk.fused_fourier_mix(fk.fourier_mix(x, norm=norm), weight, eps=1e-3, norm=norm)

    compiled = torch.compile(both, fullgraph=True, dynamic=True, backend=counter)
    frames = set()
    for batch, seq in ((2, 7), (3, 16), (4, 37), (2, 25)):
        x = torch.randn(batch, seq, 12, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(12, dtype=torch.float64, requires_grad=True)
        mine = compiled(x, weight)
        mixed = formula(x, norm)
        theirs = layer_norm(mixed + formula(mixed, norm), (12,), weight, eps=1e-3)
        assert_close(mine, theirs, factor=10)
        assert_close(
            torch.autograd.grad(mine.sin().sum(), x)[0],
            torch.autograd.grad(theirs.sin().sum(), x)[0],
            factor=100,
        )
        frames.add(counter.frame_count)
    assert len(frames) == 1  # all after the first call reuse its graph


def names_in_graphs(module: nn.Module, *lengths: int, **options: Any) -> list[set[str]]:
    """The operators of this package in each graph that the lengths compile."""
    graphs: list[set[str]] = []

    def record(graph: torch.fx.GraphModule, _: Any) -> Any:
        targets = [node.target for node in graph.graph.nodes]
        graphs.append({t._opname for t in targets if getattr(t, "namespace", "") == "fnet_kernels"})
        return make_boxed_func(graph.forward)

    torch.compiler.reset()
    compiled = torch.compile(
        module, fullgraph=True, backend=aot_autograd(fw_compiler=record), **options
    )
    with torch.no_grad():
        for seq in lengths:
            x = torch.randn(2, seq, 12)
            assert_close(compiled(x), module(x), factor=10)
    return graphs


@pytest.mark.parametrize("norm", NORMS)
def test_static_sizes_keep_the_fused_operator(norm: Any) -> None:
    module = fk.FusedFourierMix(12, scale=0.5, norm=norm)
    assert names_in_graphs(module, 8, dynamic=False) == [{"fused_fourier_mix"}]


def test_dynamic_sizes_keep_the_fused_operator_without_a_factor() -> None:
    assert names_in_graphs(fk.FusedFourierMix(12), 8, 9, 37, dynamic=True) == [
        {"fused_fourier_mix"}
    ]


def test_a_dynamic_scale_needs_one_graph() -> None:
    for module in (fk.FusedFourierMix(12, scale=0.5), fk.FusedFourierMix(12, norm="ortho")):
        assert names_in_graphs(module, 8, 9, 37, dynamic=True) == [{"fourier_mix"}]


class ScaledByLength(nn.Module):
    """What people wrote before `norm`."""

    def forward(self, x: Tensor) -> Tensor:
        return fk.fourier_mix(x, scale=(x.shape[-2] * x.shape[-1]) ** -0.5)


MODULES = [
    ScaledByLength(),
    fk.FourierMix(norm="ortho"),
    fk.FourierMix(norm="forward"),
    fk.FusedFourierMix(12, norm="ortho"),
]


@pytest.mark.parametrize("module", MODULES[-1:], ids=str)
def test_one_inductor_graph_for_a_scale_of_the_length(module: nn.Module) -> None:
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(module, fullgraph=True, dynamic=True)
    for seq in (7, 16, 37):
        x = torch.randn(2, seq, 12)
        assert_close(compiled(x), module(x), factor=10)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("module", MODULES, ids=str)
def test_export_with_a_scale_of_the_length(module: nn.Module, strict: bool) -> None:
    exported = torch.export.export(
        module,
        (torch.randn(2, 8, 12),),
        dynamic_shapes=({1: torch.export.Dim("seq")},),
        strict=strict,
    )
    for seq in (5, 11, 64):
        x = torch.randn(2, seq, 12)
        assert_close(exported.module()(x), module(x), factor=10)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("norm", NORMS)
def test_a_jit_trace_serves_other_lengths(norm: Any) -> None:
    for module in (fk.FourierMix(norm=norm), fk.FusedFourierMix(12, norm=norm)):
        module.requires_grad_(False)
        traced = torch.jit.trace(module, (torch.randn(2, 8, 12),))
        for seq in (5, 64):
            x = torch.randn(2, seq, 12)
            assert_close(traced(x), module(x), factor=10)


def test_make_fx_with_a_scale_of_the_length() -> None:
    module = fk.FusedFourierMix(12, norm="ortho", elementwise_affine=False)
    graph = make_fx(module, tracing_mode="symbolic")(torch.randn(2, 8, 12))
    x = torch.randn(3, 37, 12)
    assert_close(graph(x), module(x), factor=10)


# float32 weight and bias with 16-bit x


@pytest.mark.parametrize("shape", [(3, 16, 24), (2, 37, 24), (1, 4, 16)], ids=str)
@pytest.mark.parametrize("dtype", LOW, ids=str)
@pytest.mark.parametrize("given", ["weight bias", "weight", "bias"])
def test_float32_parameters_with_16_bit_x(
    given: str, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    hidden = shape[-1]
    x = torch.randn(shape).to(dtype).requires_grad_()
    # A weight of 1 + 2^-12 is 1 in 16 bits, and so is its bias lost.
    weight = (1 + torch.randn(hidden) * 2**-12).requires_grad_() if "weight" in given else None
    bias = torch.randn(hidden).requires_grad_() if "bias" in given else None
    inputs = [t for t in (x, weight, bias) if t is not None]

    def loss(y: Tensor) -> Tensor:
        return (y.double() * torch.linspace(-1, 1, hidden, dtype=torch.float64)).sum()

    y = fk.fused_fourier_mix(x, weight, bias, 1e-5)
    assert y.dtype == dtype
    wide = [None if t is None else t.detach().double().requires_grad_() for t in (x, weight, bias)]
    truth = reference.fused_fourier_mix(*wide, 1e-5)
    assert_close(y, truth, factor=2)
    assert torch.equal(y, fk.fused_fourier_mix(x.detach(), weight, bias, 1e-5)), (
        "training and inference agree"
    )
    mine = torch.autograd.grad(loss(y), inputs)
    theirs = torch.autograd.grad(loss(truth), [t for t in wide if t is not None])
    for given_input, a, b in zip(inputs, mine, theirs, strict=True):
        assert a.dtype == given_input.dtype
        # Gradients of rows that 16 bits hold; the sums over rows round no more.
        assert relative_error(a, b) < 2e-2


def test_float32_parameters_are_not_rounded() -> None:
    x = torch.randn(2, 16, 24).bfloat16()
    bias = torch.full((24,), 2.0**-20)
    y = fk.fused_fourier_mix(x, torch.full((24,), 2.0**-14), bias, 1e-5)
    weight = torch.full((24,), 1 + 2**-9)
    row = reference.fused_fourier_mix(x.double(), eps=1e-5)
    assert_close(y, row * 2.0**-14 + bias.double())
    # Half of a unit of bfloat16 above 1 decides how some products round.
    y = fk.fused_fourier_mix(x, weight, eps=1e-5)
    assert torch.equal(y, fk.fused_fourier_mix(x.float(), weight, eps=1e-5).bfloat16())
    assert not torch.equal(y, fk.fused_fourier_mix(x, weight.bfloat16(), eps=1e-5))


@pytest.mark.parametrize("dtype", LOW, ids=str)
def test_sums_for_float32_parameters_stay_in_float32(dtype: torch.dtype) -> None:
    x = torch.randn(4, 16, 24).to(dtype)
    weight, bias = (torch.ones(24, requires_grad=True) for _ in range(2))
    y = fk.fused_fourier_mix(x.requires_grad_(), weight, bias, 1e-5)
    upstream = torch.randn(4, 16, 24).to(dtype)
    _, dweight, dbias = torch.autograd.grad(y, (x, weight, bias), upstream)
    assert relative_error(dbias, upstream.double().sum((0, 1))) < 1e-6
    rows = reference.fused_fourier_mix(x.detach().double(), eps=1e-5)
    assert relative_error(dweight, (upstream.double() * rows).sum((0, 1))) < 4e-3
    # The same without a gradient for x, and for the bias alone.
    y = fk.fused_fourier_mix(x.detach(), None, bias, 1e-5)
    assert relative_error(torch.autograd.grad(y, bias, upstream)[0], dbias) < 1e-6
    y = fk.fused_fourier_mix(x, None, bias, 1e-5)
    assert relative_error(torch.autograd.grad(y, bias, upstream)[0], dbias) < 1e-6


def test_one_parameter_in_float32_and_one_in_16_bits() -> None:
    x = torch.randn(2, 8, 12).bfloat16()
    weight = torch.randn(12, requires_grad=True)
    bias = torch.randn(12).bfloat16().requires_grad_()
    for given in ((weight, bias), (bias, weight)):
        y = fk.fused_fourier_mix(x, *given, 1e-5)
        truth = reference.fused_fourier_mix(*(t.double() for t in (x, *given)), 1e-5)
        assert_close(y, truth, factor=2)
        for parameter, gradient in zip(given, torch.autograd.grad(y.sum(), given), strict=True):
            assert gradient.dtype == parameter.dtype


def test_norms_in_float32_inside_a_bfloat16_model() -> None:
    encoder = fk.FNetEncoder(2, 16, 32, dropout=0.0).bfloat16()
    for layer in encoder:
        layer.fourier.float()
    x = torch.randn(2, 8, 16).bfloat16()
    torch.compiler.reset()
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    for run in (encoder, compiled):
        encoder.zero_grad()
        run(x).float().square().sum().backward()
        for layer in encoder:
            for parameter in layer.fourier.parameters():
                assert parameter.grad is not None
                assert parameter.grad.dtype == torch.float32
                assert parameter.grad.isfinite().all()


def test_float32_parameters_in_higher_order_and_functional_derivatives() -> None:
    x = torch.randn(2, 8, 12).bfloat16()
    weight, bias = torch.randn(12), torch.randn(12)

    def loss(weight: Tensor, bias: Tensor, fused: Any = fk.fused_fourier_mix) -> Tensor:
        return (
            fused(x.to(weight.dtype) if fused is reference else x, weight, bias, 1e-5).sin().sum()
        )

    exact = torch.func.grad(
        lambda w, b: reference.fused_fourier_mix(x.double(), w, b, 1e-5).sin().sum(), (0, 1)
    )(weight.double(), bias.double())
    for mine, theirs in zip(torch.func.grad(loss, (0, 1))(weight, bias), exact, strict=True):
        assert mine.dtype == torch.float32
        assert relative_error(mine, theirs) < 2e-2
    leaves = (weight.requires_grad_(), bias.requires_grad_())
    first = torch.autograd.grad(loss(*leaves), leaves, create_graph=True)
    assert [t.dtype for t in first] == [torch.float32, torch.float32]
    second = torch.autograd.grad(first[0].square().sum(), leaves)
    assert [t.dtype for t in second] == [torch.float32, torch.float32]


# Sizes and numbers that constructors and functions refuse

X = torch.ones(2, 3, 4)
BAD: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: fk.fourier_mix(X, norm="orthogonal"), ValueError, ["fourier_mix: norm", "'ortho'"]),
    (lambda: fk.fourier_mix(X, norm=2), ValueError, ["norm", "'backward'", "got 2"]),
    (lambda: fk.fourier_mix(X, norm=["ortho"]), ValueError, ["norm", "got ['ortho']"]),
    (lambda: fk.fused_fourier_mix(X, norm=""), ValueError, ["fused_fourier_mix: norm", "got ''"]),
    (lambda: fk.FourierMix(norm="Ortho"), ValueError, ["FourierMix: norm", "got 'Ortho'"]),
    (lambda: fk.FusedFourierMix(4, norm=True), ValueError, ["FusedFourierMix: norm", "got True"]),
    (lambda: fk.FNetEncoder(1, 4, 8, mixer="x"), ValueError, ["mixer", "'fourier'", "got 'x'"]),
    (lambda: fk.FNetEncoder(2, 4, 8, mixer=["fourier"]), ValueError, ["num_layers=2", "got 1"]),
    (lambda: fk.FNetEncoderLayer(4, 8, mixer=3), TypeError, ["mixer", "name or a", "got int"]),
    (lambda: reference.fourier_mix(X, norm="x"), ValueError, ["fourier_mix: norm", "got 'x'"]),
    (lambda: reference.fused_fourier_mix(X, norm="x"), ValueError, ["norm", "got 'x'"]),
    (lambda: fk.fourier_mix(X, scale=float("nan")), ValueError, ["scale", "finite", "got nan"]),
    (lambda: fk.fourier_mix(X, scale=-float("inf")), ValueError, ["scale", "finite", "got -inf"]),
    (lambda: fk.fused_fourier_mix(X, scale=float("nan")), ValueError, ["scale", "got nan"]),
    (lambda: fk.fourier_mix(X, scale=np.float32("inf")), ValueError, ["scale", "got inf"]),
    (lambda: fk.fused_fourier_mix(X, eps=np.float32("inf")), ValueError, ["eps", "got inf"]),
    (lambda: fk.FourierMix(float("nan")), ValueError, ["FourierMix: scale", "got nan"]),
    (lambda: fk.FusedFourierMix(4, scale=float("inf")), ValueError, ["scale", "got inf"]),
    (lambda: fk.fourier_mix(X, scale=10**400), ValueError, ["scale", "finite"]),
    (lambda: fk.FusedFourierMix("768"), TypeError, ["FusedFourierMix: hidden_size", "got str"]),
    (lambda: fk.FusedFourierMix((768,)), TypeError, ["hidden_size", "int", "got tuple"]),
    (lambda: fk.FusedFourierMix(768.0), TypeError, ["hidden_size", "int", "got float"]),
    (lambda: fk.FusedFourierMix(True), TypeError, ["hidden_size", "int", "got bool"]),
    (lambda: fk.FusedFourierMix(None), TypeError, ["hidden_size", "got None"]),
    (lambda: fk.FusedFourierMix(0), ValueError, ["hidden_size", "at least 1", "got 0"]),
    (lambda: fk.FusedFourierMix(-1), ValueError, ["hidden_size", "at least 1", "got -1"]),
    (lambda: fk.FusedFourierMix(4, dtype=torch.int32), TypeError, ["dtype", "got torch.int32"]),
    (lambda: fk.FusedFourierMix(4, dtype=torch.cfloat), TypeError, ["dtype", "torch.complex64"]),
    (lambda: fk.FusedFourierMix(4, dtype="half"), TypeError, ["dtype", "torch.float32", "half"]),
    (lambda: fk.FNetEncoderLayer("4", 8), TypeError, ["FNetEncoderLayer: hidden_size", "got str"]),
    (lambda: fk.FNetEncoderLayer(4, 0), ValueError, ["intermediate_size", "at least 1", "got 0"]),
    (lambda: fk.FNetEncoderLayer(4, 8, dropout=2), ValueError, ["dropout", "0 to 1", "got 2"]),
    (lambda: fk.FNetEncoderLayer(4, 8, dropout="0"), TypeError, ["dropout", "got str"]),
    (lambda: fk.FNetEncoderLayer(4, 8, eps=-1.0), ValueError, ["FNetEncoderLayer: eps", "-1.0"]),
    (lambda: fk.FNetEncoder("2", 4, 8), TypeError, ["FNetEncoder: num_layers", "got str"]),
    (lambda: fk.FNetEncoder(-1, 4, 8), ValueError, ["num_layers", "at least 0", "got -1"]),
    (lambda: fk.FNetEncoder(0, 4, -8), ValueError, ["FNetEncoder: intermediate_size", "got -8"]),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD)
def test_what_is_refused_is_named(call: Any, error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_the_operators_refuse_a_scale_that_is_not_finite() -> None:
    for op, args in (("fourier_mix", ()), ("fused_fourier_mix", (None, None, 1e-5))):
        with pytest.raises(RuntimeError, match=f"{op}: expected scale that is finite, got nan"):
            getattr(torch.ops.fnet_kernels, op)(X, *args, scale=float("nan"))


def test_sizes_of_numpy_and_numbers_of_numpy() -> None:
    mix = fk.FusedFourierMix(np.int64(12), np.float64(1e-5), scale=np.float64(0.5))
    assert type(mix.hidden_size) is int
    x = torch.randn(2, 8, 12)
    assert torch.equal(mix(x), fk.fused_fourier_mix(x, mix.weight, mix.bias, 1e-5, scale=0.5))
    assert torch.equal(fk.fourier_mix(x, scale=np.float32(0.5)), fk.fourier_mix(x, scale=0.5))
    assert len(fk.FNetEncoder(0, 4, 8)) == 0


# Tensors that are not plain ones


def test_symbolic_trace_records_the_calls() -> None:
    encoder = fk.FNetEncoder(2, 12, 24).eval()
    model = nn.Sequential(nn.Linear(12, 12), fk.FourierMix(0.5, norm="ortho"), encoder)
    traced = torch.fx.symbolic_trace(model)
    targets = [node.target for node in traced.graph.nodes if node.op == "call_function"]
    assert targets.count(fk.fourier_mix) == 1
    assert targets.count(fk.fused_fourier_mix) == 2
    for seq in (5, 8):
        x = torch.randn(2, seq, 12)
        assert torch.equal(traced(x), model(x))
    traced.graph.lint()
    again = torch.fx.symbolic_trace(traced)
    assert torch.equal(again(x), model(x))
    traced(x).sum().backward()


def test_symbolic_trace_of_functions_and_computed_scales() -> None:
    def model(x: Tensor, weight: Tensor) -> Tensor:
        y = fk.fourier_mix(x, scale=(x.shape[-2] * x.shape[-1]) ** -0.5)
        return fk.fused_fourier_mix(x=y, weight=weight, norm="forward")

    traced = torch.fx.symbolic_trace(model)
    x, weight = torch.randn(2, 8, 12), torch.randn(12)
    assert torch.equal(traced(x, weight), model(x, weight))


class Table(nn.Module):
    """Mixes a buffer, which is no proxy in a trace, with a parameter, which is one."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.randn(8, 12))
        self.weight, self.bias = nn.Parameter(torch.randn(12)), nn.Parameter(torch.randn(12))

    def forward(self, x: Tensor) -> Tensor:
        plain = fk.fused_fourier_mix(self.rows, None, self.bias)
        return x + fk.fused_fourier_mix(self.rows, self.weight) + plain


def test_symbolic_trace_where_only_a_parameter_is_traced() -> None:
    model = Table()
    x = torch.randn(2, 8, 12)
    assert torch.equal(torch.fx.symbolic_trace(model)(x), model(x))


def test_a_traced_model_is_copied_and_pickled(tmp_path: Any) -> None:
    model = nn.Sequential(nn.Linear(12, 12), fk.FusedFourierMix(12, norm="ortho"))
    torch.save(torch.fx.symbolic_trace(model), tmp_path / "traced.pt")
    loaded = torch.load(tmp_path / "traced.pt", weights_only=False)
    x = torch.randn(2, 8, 12)
    assert torch.equal(loaded(x), model(x))


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=str)
def test_nested_tensors_are_refused_with_a_way_out(layout: torch.layout) -> None:
    nested = torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], layout=layout)
    mix = fk.FusedFourierMix(4)
    for call in (fk.fourier_mix, fk.fused_fourier_mix, fk.FourierMix(), mix):
        with pytest.raises(TypeError, match=r"x must be .*got a nested tensor.*each sequence"):
            call(nested)
        with pytest.raises(TypeError, match=r"x must be a torch\.Tensor, got list"):
            call([torch.ones(2, 4), torch.ones(3, 4)])
    with pytest.raises(TypeError, match=r"weight must be .*got a nested tensor"):
        fk.fused_fourier_mix(X, nested)


def test_what_else_is_not_dense_is_refused() -> None:
    for sparse in (torch.ones(3, 4).to_sparse(), torch.ones(3, 4).to_sparse_csr()):
        for call in (fk.fourier_mix, fk.fused_fourier_mix, fk.FourierMix(), fk.FusedFourierMix(4)):
            with pytest.raises(TypeError, match="x must be a dense"):
                call(sparse)
    with pytest.raises(TypeError, match="weight must be a dense"):
        fk.fused_fourier_mix(X, torch.ones(4).to_sparse())
