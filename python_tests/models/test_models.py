"""The eight models against transformers': outputs, losses, keys, both directions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fnet_kernels import models
from fnet_kernels.models import FNetConfig
from python_tests.helpers.close import relative_error
from python_tests.helpers.fnet_models import CLASSES, MODELS, FusedCalls, agree, batch, build

pytestmark = pytest.mark.usefixtures("one_thread")
TOLERANCE = 1e-5
OF_TOKENS = ("FNetForMaskedLM", "FNetForTokenClassification", "FNetForQuestionAnswering")


def pair(name: str, **config: Any) -> tuple[Any, Any]:
    """A model of transformers with random parameters, and ours with the same."""
    pytest.importorskip("transformers")
    theirs = build(name, **config)
    for parameter in theirs.parameters():  # biases, LayerNorm and the row of padding too
        nn.init.normal_(parameter, std=0.3)
    ours = getattr(models, name)(FNetConfig.from_dict(theirs.config.to_dict())).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def tensors(output: tuple[Any, ...]) -> list[Tensor]:
    parts = (t for value in output for t in (value if isinstance(value, tuple) else (value,)))
    return [t for t in parts if t is not None]


def compare(ours: Any, theirs: Any, inputs: dict[str, Tensor]) -> float:
    """The largest relative error; the shapes are equal, but for the axis of choices."""
    with torch.no_grad():
        got = tensors(ours(**inputs))
        expected = tensors(theirs(**inputs).to_tuple())
    assert len(got) == len(expected)
    return max(relative_error(a.reshape(b.shape), b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_losses_are_those_of_transformers(name: str) -> None:
    ours, theirs = pair(name)
    inputs = batch(name)
    inputs["token_type_ids"] = (inputs["input_ids"] > 50).long()
    inputs["position_ids"] = torch.arange(16).flip(0).expand_as(inputs["input_ids"]).clone()
    assert compare(ours, theirs, batch(name)) <= TOLERANCE
    everything = {**inputs, **MODELS[name], "output_hidden_states": True}
    assert compare(ours, theirs, everything) <= TOLERANCE
    assert (ours(**inputs)[0] is None) == (name != "FNetModel")


@pytest.mark.parametrize("name", MODELS)
def test_a_perturbed_parameter_fails_the_comparison(name: str) -> None:
    ours, theirs = pair(name)
    inputs = {**batch(name), **MODELS[name]}
    for key, parameter in ours.named_parameters():
        if "pooler" in key and name in OF_TOKENS:
            continue  # computed, and not used
        with torch.no_grad():
            before = parameter.clone()
            parameter += 0.1 * torch.randn_like(parameter)
            error = compare(ours, theirs, inputs)
            parameter.copy_(before)
        assert error > 10 * TOLERANCE, key
    assert compare(ours, theirs, inputs) <= TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_state_dicts_are_those_of_transformers_in_both_directions(name: str) -> None:
    pytest.importorskip("transformers")
    theirs = build(name)
    ours = getattr(models, name)(FNetConfig.from_dict(theirs.config.to_dict())).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    theirs.load_state_dict(ours.state_dict())
    assert compare(ours, theirs, batch(name)) <= TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_transformers(name: str) -> None:
    ours, theirs = pair(name)
    inputs = {**batch(name), **MODELS[name]}
    for model in (ours, theirs):
        output = model(**inputs)
        (output[0] if MODELS[name] else output[1].square().sum()).backward()
    expected = [p.grad for p in theirs.parameters() if p.grad is not None]
    got = [p.grad for p in ours.parameters() if p.grad is not None]
    # What shifts all choices or positions alike has the gradient zero, but for rounding.
    zero = {i for i, gradient in enumerate(expected) if gradient.abs().max() < 1e-6}
    assert len(got) == len(expected)
    assert len(zero) <= 2
    assert all(got[i].abs().max() < 1e-6 for i in zero)
    kept = [i for i in range(len(got)) if i not in zero]
    agree([got[i] for i in kept], [expected[i] for i in kept], 1e-4)


@pytest.mark.parametrize(
    ("labels", "config"),
    [
        (torch.tensor([0.5, -1.0]), {"num_labels": 1}),
        (torch.tensor([[0.5], [-1.0]]), {"num_labels": 1}),
        (torch.tensor([2, 0]), {"num_labels": 3}),
        (torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]), {"num_labels": 3}),
        (torch.randn(2, 3), {"num_labels": 3, "problem_type": "regression"}),
        (torch.tensor([2, -100]), {"num_labels": 3, "problem_type": "single_label_classification"}),
        (torch.eye(3)[:2], {"num_labels": 3, "problem_type": "multi_label_classification"}),
        (torch.eye(2)[:, :1], {"num_labels": 1, "problem_type": "multi_label_classification"}),
    ],
)
def test_the_loss_of_each_problem_type(labels: Tensor, config: dict[str, Any]) -> None:
    name = "FNetForSequenceClassification"
    ours, theirs = pair(name, **config)
    assert ours.config.num_labels == config["num_labels"]
    assert compare(ours, theirs, {**batch(name), "labels": labels}) <= TOLERANCE
    assert compare(ours, theirs, {**batch(name), "labels": labels}) <= TOLERANCE  # and again


def test_labels_may_be_integers_where_transformers_wants_floats() -> None:
    config = FNetConfig.mini(num_labels=3, problem_type="multi_label_classification")
    model = models.FNetForSequenceClassification(config).eval()
    ids, labels = torch.tensor([[4, 5]]), torch.tensor([[0, 1, 1]])
    assert model(ids, labels=labels).loss == model(ids, labels=labels.float()).loss
    single = models.FNetForSequenceClassification(FNetConfig.mini(), num_labels=3).eval()
    label = torch.tensor([1])
    assert single(ids, labels=label.int()).loss == single(ids, labels=label).loss


def test_ignored_labels_and_positions() -> None:
    ours, theirs = pair("FNetForMaskedLM")
    labels = MODELS["FNetForMaskedLM"]["labels"].clone()
    labels[:, ::2] = -100
    assert compare(ours, theirs, {**batch(), "labels": labels}) <= TOLERANCE
    ours, theirs = pair("FNetForQuestionAnswering")
    for start in ([3, 16], [40, 2], [-1, 5]):
        ends = {"start_positions": torch.tensor(start), "end_positions": torch.tensor([[4], [5]])}
        assert compare(ours, theirs, {**batch(), **ends}) <= TOLERANCE


@pytest.mark.parametrize("act", ["gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu", "relu"])
def test_each_activation(act: str) -> None:
    ours, theirs = pair("FNetForMaskedLM", hidden_act=act)
    assert compare(ours, theirs, batch()) <= TOLERANCE


def test_inputs_embeds() -> None:
    ours, theirs = pair("FNetForPreTraining")
    embeds = {"inputs_embeds": torch.randn(2, 16, 24)}
    assert compare(ours, theirs, embeds) <= TOLERANCE
    words = ours.get_input_embeddings()(batch()["input_ids"])
    agree(tensors(ours(inputs_embeds=words)), tensors(ours(**batch())), 1e-6)


def test_untied_weights() -> None:
    ours, theirs = pair("FNetForMaskedLM", tie_word_embeddings=False)
    predictions = ours.cls.predictions
    assert predictions.decoder.weight is not ours.get_input_embeddings().weight
    assert predictions.decoder.bias is not predictions.bias
    assert compare(ours, theirs, batch()) <= TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_each_fourier_layer_is_one_fused_operator(name: str) -> None:
    model = getattr(models, name)(FNetConfig.mini(num_hidden_layers=3))
    with FusedCalls() as calls:
        model(**batch(name))
    assert calls.count == len(calls.names) == 3


def test_leading_axes_may_be_any() -> None:
    model = models.FNetForMaskedLM(FNetConfig.mini(num_attention_layers=1)).eval()
    ids = torch.randint(4, 100, (2, 3, 5))
    mask = torch.ones_like(ids)
    logits = model(ids, attention_mask=mask, labels=ids).logits
    agree([logits[1, 2]], [model(ids[1, 2], attention_mask=mask[1, 2]).logits], 1e-5)
    assert model(ids, labels=ids).loss.isfinite()


def test_labels_of_one_sequence_without_a_batch() -> None:
    model = models.FNetForSequenceClassification(FNetConfig.mini()).eval()
    ids = torch.tensor([4, 5, 6])
    alone = model(ids, labels=CLASSES[1]).loss
    agree([alone], [model(ids[None], labels=CLASSES[1:]).loss], 1e-6)
