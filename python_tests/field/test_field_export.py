"""Tracing and export record the operator of inference, in any gradient mode; it trains too."""

from __future__ import annotations

import warnings

import torch

from fnet_kernels import FNetEncoder
from python_tests.helpers.close import assert_close

X = torch.randn(2, 8, 16, dtype=torch.float64)


def encoder() -> FNetEncoder:
    torch.manual_seed(0)
    return FNetEncoder(2, 16, 32, dropout=0.0, eps=1e-3, dtype=torch.float64).eval()


def gradients(model: torch.nn.Module, call: torch.nn.Module) -> list[torch.Tensor]:
    model.zero_grad()
    call(X).pow(3).sum().backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


def test_export_records_the_operator_of_inference_and_trains() -> None:
    model = encoder()
    exported = torch.export.export(model, (X,))
    names = {str(node.target) for node in exported.graph.nodes if "fnet" in str(node.target)}
    assert names == {"fnet_kernels.fused_fourier_mix.default"}
    module = exported.module()
    assert_close(module(X), model(X), factor=10)
    expected = gradients(model, model)
    found = gradients(module, module)
    assert len(expected) == len(found) > 0
    for ours, right in zip(found, expected, strict=True):
        assert_close(ours, right, factor=100)


def test_jit_trace_of_an_encoder_whose_parameters_require_gradients() -> None:
    model = encoder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(model, X)
    assert "fused_fourier_mix(" in str(traced.inlined_graph)
    assert "fused_fourier_mix_train" not in str(traced.inlined_graph)
    other = torch.randn_like(X)
    assert_close(traced(other), model(other), factor=10)
    expected = gradients(model, model)
    for ours, right in zip(gradients(model, traced), expected, strict=True):
        assert_close(ours, right, factor=100)
