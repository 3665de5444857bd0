"""Models, compiled and exported."""

from __future__ import annotations

import pytest
import torch

from python_tests.helpers.close import relative_error
from python_tests.helpers.fnet_models import MODELS, batch
from python_tests.helpers.mini_models import SEQ, ids, make

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "name", ["FNetForPreTraining", "FNetForSequenceClassification", "FNetForQuestionAnswering"]
)
def test_compiles_as_one_graph(name: str) -> None:
    torch.compiler.reset()
    model = make(name, hidden_dropout_prob=0.0, num_attention_layers=1, pooling="mean").eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    inputs = {**batch(name), **MODELS[name], "output_hidden_states": True}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    expected, got = model(**inputs), compiled(**inputs)
    assert type(got) is type(expected)
    assert len(got.hidden_states) == 3
    assert relative_error(got[1], expected[1]) < 1e-5
    got[0].sum().backward()
    assert model.fnet.encoder[0].output.dense.weight.grad.any()


@pytest.mark.parametrize("name", ["FNetForMaskedLM", "FNetForSequenceClassification"])
def test_export_with_a_dynamic_batch_and_length(name: str) -> None:
    from torch.export import Dim, export

    model = make(name, num_attention_layers=1, pooling="mean").eval()
    sizes = {0: Dim("batch", max=64), 1: Dim("seq", min=2, max=SEQ)}
    x = ids(3, 12)
    program = export(
        model,
        (x,),
        {"attention_mask": torch.ones_like(x)},
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
    )
    x = ids(2, 9)
    mask = torch.ones_like(x)
    mask[1, 4:] = 0
    got, expected = (m(x, attention_mask=mask) for m in (program.module(), model))
    assert relative_error(got.logits, expected.logits) < 1e-5
    fused = [n for n in program.graph.nodes if "fused_fourier_mix" in str(n.target)]
    assert len(fused) == 1
