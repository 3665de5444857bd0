"""Tensors that are not plain ones: torch.fx proxies, nested, sparse."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fnet_kernels as fk


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


@pytest.mark.parametrize(
    "module", [fk.FNetEncoder(2, 12, 24).eval(), fk.FNetEncoderLayer(12, 24).eval()], ids=type
)
def test_symbolic_trace_of_an_encoder_as_the_root(module: nn.Module) -> None:
    """Its optional arguments are proxies, of which it is not known whether they are None."""
    with pytest.raises(TypeError, match=r"pass concrete_args=\{'key_mask': None, ") as error:
        torch.fx.symbolic_trace(module)
    advised = ast.literal_eval(str(error.value).split("concrete_args=")[1].split(" to ")[0])
    traced = torch.fx.symbolic_trace(module, concrete_args=advised)
    x = torch.randn(2, 8, 12)
    assert torch.equal(traced(x), module(x))


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


def test_nested_tensors_of_strided_layout_are_refused_with_a_way_out() -> None:
    nested = torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)])
    mix = fk.FusedFourierMix(4)
    for call in (fk.fourier_mix, fk.fused_fourier_mix, fk.FourierMix(), mix):
        with pytest.raises(TypeError, match=r"x must be .*got a nested tensor.*jagged"):
            call(nested)
        with pytest.raises(TypeError, match=r"x must be a torch\.Tensor, got list"):
            call([torch.ones(2, 4), torch.ones(3, 4)])
    with pytest.raises(TypeError, match=r"weight must be .*got a nested tensor"):
        fk.fused_fourier_mix(torch.zeros(2, 4), nested)


def test_what_else_is_not_dense_is_refused() -> None:
    for sparse in (torch.ones(3, 4).to_sparse(), torch.ones(3, 4).to_sparse_csr()):
        for call in (fk.fourier_mix, fk.fused_fourier_mix, fk.FourierMix(), fk.FusedFourierMix(4)):
            with pytest.raises(TypeError, match="x must be a dense"):
                call(sparse)
    with pytest.raises(TypeError, match="weight must be a dense"):
        fk.fused_fourier_mix(torch.zeros(2, 4), torch.ones(4).to_sparse())
