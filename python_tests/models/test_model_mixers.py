"""Mixers and hybrids in models; a model of attention is BERT."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fnet_kernels.mixers import list_mixers
from python_tests.helpers.close import relative_error
from python_tests.helpers.mini_models import SEQ, ids, make

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("mixer", list_mixers())
def test_every_mixer_in_a_model(mixer: str) -> None:
    model = make("FNetForSequenceClassification", mixer=mixer, pooling="mean")
    x, labels = ids(), torch.tensor([0, 1])
    model(x, labels=labels).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    # A state dict holds all that a model of the same configuration needs.
    again = make("FNetForSequenceClassification", mixer=mixer, pooling="mean", num_labels=2)
    for parameter in again.parameters():
        nn.init.zeros_(parameter)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x).logits, model.eval()(x).logits)


@pytest.mark.parametrize("layout", ["bottom", "middle", "mixed", "top"])
def test_hybrids_have_attention_where_the_layout_says(layout: str) -> None:
    model = make(num_hidden_layers=4, num_attention_layers=2, attention_layout=layout)
    kinds = ["attention" if "attention" in layer._modules else "fourier" for layer in model.encoder]
    assert kinds == model.config.layer_mixers()
    assert model(ids()).last_hidden_state.isfinite().all()
    heads = [layer.attention.self.heads for layer in model.encoder if hasattr(layer, "attention")]
    assert heads == [2, 2]


@pytest.mark.parametrize("masked", [False, True])
def test_a_model_of_attention_is_bert(masked: bool) -> None:
    transformers = pytest.importorskip("transformers")
    model = make(mixer="attention", num_attention_heads=4, layer_norm_eps=0.1).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    bert = transformers.BertModel(
        transformers.BertConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            hidden_act="gelu_new",
            layer_norm_eps=0.1,
        )
    ).eval()
    bert.encoder.load_state_dict(model.encoder.state_dict())
    bert.pooler.load_state_dict(model.pooler.state_dict())
    mask = torch.ones(2, SEQ, dtype=torch.long)
    if masked:
        mask[1, 5:] = 0
    x, types = ids(), torch.zeros(2, SEQ, dtype=torch.long)
    embedded = model.embeddings(x, types, None, None)
    wide = mask[:, None, None, :].bool().expand(2, 1, SEQ, SEQ)
    expected = bert.encoder(embedded, attention_mask=wide).last_hidden_state
    output = model(x, attention_mask=mask)
    assert relative_error(output.last_hidden_state, expected) < 1e-5
    assert relative_error(output.pooler_output, bert.pooler(expected)) < 1e-5
    if masked:
        assert relative_error(model(x).last_hidden_state, expected) > 1e-3


def test_arguments_of_attention() -> None:
    model = make(mixer="attention", mixer_args={"dropout": 0.5, "num_attention_heads": 8})
    assert (model.encoder[0].attention.self.dropout, model.encoder[0].attention.self.heads) == (
        0.5,
        8,
    )
    model = make(num_attention_layers=1, attention_probs_dropout_prob=0.25, gain=0.5)
    assert model.encoder[1].attention.self.dropout == 0.25
    assert model.encoder[0].fourier.self.scale == 0.5
    with pytest.raises(ValueError, match="gain must be 'paper'"):
        make(mixer="attention", gain=0.5)
    with pytest.raises(TypeError, match="'fourier' has no argument 'base'"):
        make(mixer_args={"base": 2})


def test_mixing_takes_padding_as_tokens_and_attention_does_not() -> None:
    x, other = ids(), ids()
    mask = torch.ones(2, SEQ, dtype=torch.long)
    mask[:, 9:] = 0
    other[:, :9] = x[:, :9]
    for config, same in (({"mixer": "attention"}, True), ({}, False)):
        model = make(**config).eval()
        first, second = (model(t, attention_mask=mask).last_hidden_state[:, :9] for t in (x, other))
        assert torch.allclose(first, second, atol=1e-5) == same
    fourier = make().eval()
    assert torch.equal(fourier(x, attention_mask=mask)[0], fourier(x)[0])
