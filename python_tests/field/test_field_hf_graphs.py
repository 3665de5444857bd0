"""People compile and export patched models, in either order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from fnet_kernels import hf
from python_tests.helpers.fnet_models import FusedCalls, agree, batch, build, results

pytest.importorskip("transformers")


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_first_and_patched_later(dynamic: bool) -> None:
    torch.compiler.reset()
    model = build(hidden_dropout_prob=0.0, num_hidden_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    expected = results(compiled, **batch())
    hf.patch_fnet(model)
    ours = results(compiled, **batch())
    agree(ours, expected, 1e-5)
    assert not torch.equal(ours[0], expected[0])  # rounded otherwise, so the graph is a new one
    agree(ours, results(model, **batch()), 1e-6)
    hf.unpatch_fnet(model)
    again = results(compiled, **batch())
    agree(again, expected, 1e-5)
    if not torch.__version__.startswith("2.11."):  # whose guards keep the patched graph
        assert all(map(torch.equal, again, expected))


def test_compiled_layer_by_layer() -> None:
    torch.compiler.reset()
    model = build(hidden_dropout_prob=0.0)
    expected = results(model, **batch())
    hf.patch_fnet(model)
    for layer in model.encoder.layer:
        layer.compile(fullgraph=True, backend="aot_eager")
    agree(results(model, **batch()), expected, 1e-5)


class LastHiddenState(nn.Module):
    """torch.export has no outputs of transformers' own classes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.model(input_ids=ids).last_hidden_state
        return found


@pytest.mark.parametrize("strict", [False, True])
def test_exported_for_every_batch_and_length(strict: bool) -> None:
    model = build()
    hf.patch_fnet(model)
    shapes = {0: torch.export.Dim("batch", max=8), 1: torch.export.Dim("seq", max=64)}
    exported = torch.export.export(
        LastHiddenState(model), (batch()["input_ids"],), dynamic_shapes=(shapes,), strict=strict
    )
    calls = [str(n.target) for n in exported.graph.nodes if str(n.target).startswith("fnet")]
    assert len(calls) == 2
    assert all("fused" in call for call in calls)
    for shape in ((1, 7), (3, 21)):
        ids = torch.randint(4, 100, shape)
        agree([exported.module()(ids)], [model(ids).last_hidden_state], 1e-6)


def test_a_hooked_norm_stays_in_the_exported_graph() -> None:
    model = build()
    hf.patch_fnet(model)
    norm = model.encoder.layer[0].fourier.output.LayerNorm
    norm.register_forward_hook(lambda module, args, y: 2 * y)
    ids = batch()["input_ids"]
    exported = torch.export.export(LastHiddenState(model), (ids,))
    agree([exported.module()(ids)], [model(ids).last_hidden_state], 1e-6)


def test_estimated_without_memory() -> None:
    """Tools that plan memory run a model on fake or meta tensors."""
    for place in (FakeTensorMode(), torch.device("meta")):
        with place:
            model = build()
            hf.patch_fnet(model)
            with FusedCalls() as calls:
                out = model(input_ids=torch.zeros(2, 5, dtype=torch.long)).last_hidden_state
        assert out.shape == (2, 5, 24)
        assert calls.count == 2
