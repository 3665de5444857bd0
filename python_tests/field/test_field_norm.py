"""norm= as in torch.fft, and one graph for all lengths."""

from __future__ import annotations

from typing import Any

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


def formula(x: Tensor, norm: str | None, scale: float = 1.0) -> Tensor:
    return scale * torch.fft.fft2(x, norm=norm).real


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
        module.requires_grad_(False).double()
        x = torch.randn(2, 64, 12, dtype=torch.float64)
        traced = torch.jit.trace(module, (x[:, :8],))
        for seq in (5, 64):
            assert_close(traced(x[:, :seq]), module(x[:, :seq]), factor=10)
        assert traced(x[:, :0]).shape == (2, 0, 12)


def test_make_fx_with_a_scale_of_the_length() -> None:
    module = fk.FusedFourierMix(12, norm="ortho", elementwise_affine=False)
    graph = make_fx(module, tracing_mode="symbolic")(torch.randn(2, 8, 12))
    x = torch.randn(3, 37, 12)
    assert_close(graph(x), module(x), factor=10)
