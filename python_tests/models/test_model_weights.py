"""Parameters of models: number, initial values, ties between them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from fnet_kernels import FNetEncoder, FNetEncoderLayer, models
from fnet_kernels.mixers import SelfAttention
from fnet_kernels.models import FNetConfig
from python_tests.helpers.mini_models import ids, make

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("config", "count"),
    [(FNetConfig.base(), 82_861_056), (FNetConfig.large(), 236_945_408)],
)
def test_number_of_parameters(config: FNetConfig, count: int) -> None:
    with torch.device("meta"):
        model = models.FNetModel(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("emptied", [False, True])
def test_initial_values(emptied: bool) -> None:
    """Also of models made without memory, whose weights `reset_parameters` draws."""
    config = FNetConfig(
        vocab_size=500,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_layers=1,
        initializer_range=0.1,
    )
    with torch.device("meta" if emptied else "cpu"):
        pretraining = models.FNetForPreTraining(config)
        classifier = models.FNetForTokenClassification(config, num_labels=300)
    if emptied:
        for model in (pretraining, classifier):
            model.to_empty(device="cpu")
            for parameter in model.parameters():
                nn.init.constant_(parameter, 7.0)
            model.reset_parameters()
    assert tied(pretraining)
    parameters = {**dict(classifier.named_parameters()), **dict(pretraining.named_parameters())}
    parameters["labels"] = classifier.classifier.bias
    embeddings = pretraining.fnet.embeddings.word_embeddings.weight
    assert not embeddings[config.pad_token_id].any()
    drawn = ("intermediate.dense.bias", "query.bias", "attention.output.dense.bias")
    for name, value in parameters.items():
        if "LayerNorm" in name:
            assert value.unique().tolist() == [1.0 if name.endswith("weight") else 0.0]
        elif "projection.weight" in name:
            assert value.std().item() == pytest.approx(128**-0.5, rel=0.05)
            assert value.abs().max() <= 2 * 128**-0.5 / 0.8796
        elif name.endswith("weight") or name in ("cls.predictions.bias", "labels"):
            assert value.std().item() == pytest.approx(0.1, rel=0.15), name
        elif name.endswith(drawn):
            assert value.std().item() == pytest.approx(0.1, rel=0.25), name
        elif name.endswith(("projection.bias", "pooler.dense.bias", "transform.dense.bias")):
            assert not value.any(), name
    assert not pretraining.fnet.encoder.layer[0].output.dense.bias.any()
    with pytest.raises(TypeError, match="FNetEncoderLayer: initializer_range must be a Python num"):
        FNetEncoderLayer(8, 8, initializer_range="0.02")
    with pytest.raises(TypeError, match="attention: initializer_range must be a Python number"):
        SelfAttention(8, initializer_range=None)


def test_encoders_draw_their_weights_again() -> None:
    torch.manual_seed(0)
    mixers = ["linear", "attention", "random", "fourier"]
    with torch.device("meta"):
        encoder = FNetEncoder(4, 256, 256, mixer=mixers, seq_len=64, gain=2.0)
    encoder.to_empty(device="cpu")
    for tensor in encoder.state_dict().values():
        tensor.fill_(7.0)
    encoder.reset_parameters()
    expected = FNetEncoder(4, 256, 256, mixer=mixers, seq_len=64, gain=2.0).state_dict()
    for name, value in encoder.state_dict().items():
        spread = float(expected[name].std())
        assert value.std().item() == pytest.approx(spread, rel=0.2), name
        assert value.mean().item() == pytest.approx(float(expected[name].mean()), abs=spread), name


def test_weights_that_cannot_be_drawn_again_are_named() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.gain * x

    layer = FNetEncoderLayer(8, 8, mixer=Scaled())
    message = "FNetEncoderLayer: fourier.self must have reset_parameters, .*got a Scaled"
    with pytest.raises(TypeError, match=message):
        layer.reset_parameters()
    Scaled.reset_parameters = lambda self: nn.init.constant_(self.gain, 3.0)  # type: ignore
    layer.reset_parameters()
    assert layer.fourier.self.gain == 3


def tied(model: Any) -> bool:
    head = model.cls.predictions
    return (
        head.decoder.weight is model.get_input_embeddings().weight
        and head.decoder.bias is head.bias
    )


@pytest.mark.parametrize("name", ["FNetForMaskedLM", "FNetForPreTraining"])
def test_tied_weights_stay_tied(name: str) -> None:
    model = make(name)
    state = model.state_dict()
    assert tied(model)
    assert tied(copy.deepcopy(model))
    assert tied(pickle.loads(pickle.dumps(model)))
    assert tied(model.to(torch.float64).to("cpu"))
    for assign in (False, True):
        other = make(name)
        other.load_state_dict({k: v + 1 for k, v in state.items()}, assign=assign)
        assert tied(other)
        wrapped = nn.Sequential(make(name))
        wrapped.load_state_dict({f"0.{k}": v for k, v in state.items()}, assign=assign)
        assert tied(wrapped[0])
    with torch.device("meta"):
        empty = make(name)
    assert tied(empty)
    assert all(parameter.is_meta for parameter in empty.parameters())
    wrapped = nn.Sequential(empty).to_empty(device="cpu")
    assert tied(wrapped[0])
    empty.load_state_dict(state)
    x = ids()
    assert torch.equal(empty.eval()(x)[1], make(name).eval()(x)[1])
    # The gradients of both uses add up in one parameter.
    count = len(list(model.parameters()))
    assert count == len(state) - 2


def under_another_head() -> Any:
    """A masked language model whose encoder is replaced by a trained one."""
    model = make("FNetForMaskedLM")
    model.fnet = make()
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(2)
    return model.eval()


def test_moves_keep_weights_that_are_not_tied() -> None:
    model = under_another_head()
    x = ids()
    before = model(x).logits
    assert torch.equal(model.to("cpu")(x).logits, before)
    assert not tied(model)
    model.tie_weights()
    assert not torch.equal(model(x).logits, before)
    assert tied(model.to(torch.float64))


@pytest.mark.parametrize("assign", [False, True])
def test_a_state_with_two_values_of_one_parameter_is_refused(assign: bool) -> None:
    model = under_another_head()
    state = {f"0.{name}": value for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError, match=r"0\.cls.*decoder.weight differs from 0\.fnet.emb"):
        nn.Sequential(make("FNetForMaskedLM")).load_state_dict(state, assign=assign)
    state["0.cls.predictions.decoder.weight"] = torch.zeros(7, 64)
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.cls\.predictions\.decoder"):
        nn.Sequential(make("FNetForMaskedLM")).load_state_dict(state, assign=assign)
    state["0.cls.predictions.decoder.weight"] = model.cls.predictions.decoder.weight
    untied = nn.Sequential(make("FNetForMaskedLM", tie_word_embeddings=False))
    untied.load_state_dict(state, assign=assign)
    x = ids()
    assert torch.equal(untied[0].eval()(x).logits, model(x).logits)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("left_out", [0, 1])
def test_a_state_may_have_one_name_of_a_tied_parameter(left_out: int, assign: bool) -> None:
    """As files have, and other libraries write the other name."""
    model = make("FNetForMaskedLM")
    state = {name: value + 1 for name, value in model.state_dict().items()}
    for names in model.tied_weights.items():
        del state[names[left_out]]
    loaded = nn.Sequential(make("FNetForMaskedLM"))
    given = {f"0.{name}": value for name, value in state.items()}
    loaded.load_state_dict(given, assign=assign)
    assert tied(loaded[0])
    for name, value in loaded[0].state_dict().items():
        assert torch.equal(value, model.state_dict()[name] + 1), name
    for names in model.tied_weights.items():
        given.pop(f"0.{names[1 - left_out]}")
    with pytest.raises(RuntimeError, match="Missing key"):
        loaded.load_state_dict(given)


def test_input_embeddings_can_be_replaced() -> None:
    model = make("FNetForMaskedLM").eval()
    table = nn.Embedding(100, 64)
    model.set_input_embeddings(table)
    assert model.get_input_embeddings() is table
    assert tied(model)
    body = make()
    body.set_input_embeddings(table)
    assert body.get_input_embeddings() is table
    with pytest.raises(ValueError, match=r"shape \(100, 64\), .*got \(7, 64\)"):
        model.set_input_embeddings(nn.Embedding(7, 64))
    for wrong in (nn.Linear(64, 100), None, "words"):
        got = "None" if wrong is None else type(wrong).__name__
        with pytest.raises(TypeError, match=rf"must be a torch\.nn\.Embedding, got {got}"):
            model.set_input_embeddings(wrong)


def test_wrapped_output_layers_keep_their_parameters() -> None:
    model = make("FNetForMaskedLM")
    model.cls.predictions.decoder = nn.Sequential(model.cls.predictions.decoder)
    keys = list(model.state_dict())
    model.to(torch.float64)
    assert list(model.state_dict()) == keys
    model = make("FNetForMaskedLM")
    nn.utils.parametrizations.weight_norm(model.get_input_embeddings())
    before = model(x := ids()).logits.shape
    assert model.to(torch.float64)(x).logits.shape == before
