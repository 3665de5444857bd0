"""Arguments and results of models: pooling, masked positions, labels, errors."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from fnet_kernels import models
from fnet_kernels.models import FNetConfig, FNetForSequenceClassification, FNetModel
from python_tests.helpers.close import assert_close, relative_error
from python_tests.helpers.mini_models import SEQ, ids, make
from python_tests.helpers.paths import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")


def test_public_names_are_documented_with_an_example() -> None:
    page = (ROOT / "docs" / "api.md").read_text().splitlines()
    for name in models.__all__:
        assert f"::: fnet_kernels.models.{name}" in page
        assert name.endswith("Output") or ">>> " in (getattr(models, name).__doc__ or "")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_mean_pooling(dtype: torch.dtype) -> None:
    model = make(pooling="mean").eval().to(dtype)
    x = ids(3, SEQ)
    lengths = torch.tensor([SEQ, 5, 0])
    mask = torch.arange(SEQ) < lengths[:, None]
    for given in (mask, mask.long(), mask.to(dtype), None):
        states, pooled, _ = model(x, attention_mask=given)
        kept = torch.ones_like(mask) if given is None else mask
        means = [
            s[k].double().sum(0) / max(int(k.sum()), 1) for s, k in zip(states, kept, strict=True)
        ]
        wide = copy.deepcopy(model.pooler.dense).double()
        assert_close(pooled, wide(torch.stack(means)).tanh(), factor=4)


def test_pooling_of_the_first_token() -> None:
    model = make().eval()
    states, pooled, _ = model(ids())
    assert torch.equal(pooled, model.pooler.dense(states[:, 0]).tanh())
    assert not torch.allclose(make(pooling="mean").eval()(ids())[1], pooled)


def test_a_model_does_what_its_configuration_says_now() -> None:
    x, lengths = ids(), [SEQ, 5]
    model = make().eval()
    model.config.padding, model.config.pooling, model.config.round_to = "exact", "mean", 8
    fresh = make(padding="exact", pooling="mean", round_to=8).eval()
    for found, expected in zip(model(x, lengths=lengths), fresh(x, lengths=lengths), strict=True):
        assert isinstance(found, tuple) or torch.equal(found, expected)
    assert "pooling=mean, padding=exact, round_to=8" in repr(model)
    assert not torch.equal(model(x)[1], make().eval()(x)[1])
    for field, wrong in (("padding", "left"), ("pooling", "last")):
        model = make().eval()
        setattr(model.config, field, wrong)
        with pytest.raises(
            ValueError, match=f"FNetModel: {field} must be one of .*; got '{wrong}'"
        ):
            model(x)


@pytest.mark.parametrize(
    "given",
    [
        {"cu_seqlens": [0, 9, SEQ]},
        {"cu_seqlens": [0, SEQ]},
        {"position_ids": torch.arange(SEQ) % 4},
        {},
    ],
    ids=str,
)
def test_choices_have_an_axis(given: dict[str, Any]) -> None:
    model = make("FNetForMultipleChoice", padding="exact").eval()
    what = "packed" if given else "one axis of"
    with pytest.raises(ValueError, match=rf"MultipleChoice: the input must .*got {what} tokens"):
        model(ids(SEQ), **given)
    assert model(ids(3, SEQ)).logits.shape == (3,)


@pytest.mark.parametrize(
    ("model_dtype", "given"),
    [
        (torch.float32, torch.int64),
        (torch.float32, torch.float64),
        (torch.bfloat16, torch.float32),
        (torch.bfloat16, torch.float16),
    ],
)
def test_the_dtype_of_embeddings_is_checked(model_dtype: torch.dtype, given: torch.dtype) -> None:
    model = make().eval().to(model_dtype)
    x = torch.zeros(2, SEQ, 64, dtype=given)
    with pytest.raises(TypeError, match=f"inputs_embeds .* embeddings, {model_dtype}; got {given}"):
        model(inputs_embeds=x)
    assert model(inputs_embeds=x.bfloat16())[0].dtype is model_dtype


@pytest.mark.parametrize("name", ["FNetForMaskedLM", "FNetForPreTraining"])
def test_logits_of_masked_positions(name: str) -> None:
    model = make(name).eval()
    x, positions = ids(), torch.tensor([[3, 0, 15], [7, 7, 0]])
    field = 1  # logits follow the loss
    every, some = model(x)[field], model(x, masked_positions=positions)[field]
    expected = torch.stack([every[i, positions[i]] for i in range(2)])
    assert some.shape == (2, 3, 100)
    assert relative_error(some, expected) < 1e-5
    labels = torch.tensor([[5, -100, 6], [7, 8, -100]])
    in_place = torch.full((2, SEQ), -100)
    in_place[0, [3, 15]] = torch.tensor([5, 6])
    in_place[1, 7] = 7
    labels[1, 1] = -100
    more = {"next_sentence_label": torch.tensor([0, 1])} if name == "FNetForPreTraining" else {}
    gathered = model(x, labels=labels, masked_positions=positions.int(), **more).loss
    assert relative_error(gathered, model(x, labels=in_place, **more).loss) < 1e-5
    with pytest.raises(
        ValueError, match=r"masked_positions must be \[\.\.\., k\].*got shape \(3,\)"
    ):
        model(x, masked_positions=positions[0])
    with pytest.raises(TypeError, match=f"{name}: masked_positions must be a torch.Tensor, got li"):
        model(x, masked_positions=positions.tolist())
    with pytest.raises(TypeError, match="masked_positions must be int64 or int32, got"):
        model(x, masked_positions=positions.float())


def test_num_labels() -> None:
    config = FNetConfig.mini()
    for name in ("FNetForSequenceClassification", "FNetForTokenClassification"):
        model = getattr(models, name)(config, num_labels=5)
        assert model.config.num_labels == model.classifier.out_features == 5
        assert getattr(models, name)(config).classifier.out_features == config.num_labels == 2
        with pytest.raises(ValueError, match="num_labels must be at least 1, got 0"):
            getattr(models, name)(config, num_labels=0)


def test_bad_inputs_are_errors() -> None:
    model = make("FNetForMaskedLM").eval()
    x = ids()
    for both in ({}, {"input_ids": x, "inputs_embeds": torch.randn(2, SEQ, 64)}):
        with pytest.raises(ValueError, match="input_ids or inputs_embeds must be given, got "):
            model(**both)
    with pytest.raises(ValueError, match="max_position_embeddings=16 tokens, got 17"):
        model(ids(2, 17))
    with pytest.raises(
        ValueError, match=r"attention_mask must have .*\(2, 16\); got shape \(16,\)"
    ):
        model(x, attention_mask=torch.ones(SEQ))
    with pytest.raises(
        ValueError, match=r"token_type_ids must have .*\(2, 16\); got shape \(2, 3\)"
    ):
        model(x, token_type_ids=torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(TypeError, match=r"attention_mask must be a torch\.Tensor, got list"):
        model(x, attention_mask=[[1] * SEQ] * 2)
    with pytest.raises(ValueError, match=r"attention_mask must be 1 or true .* negative numbers"):
        model(x, attention_mask=torch.full((2, SEQ), -1e4))
    with pytest.raises(ValueError, match=r"pooling needs a first token; got .* \(2, 0, 64\)"):
        model(x[:, :0])
    with pytest.raises(ValueError, match=r"hidden_size=64\], got shape \(2, 16, 3\)"):
        model(inputs_embeds=torch.randn(2, SEQ, 3))
    with pytest.raises(TypeError, match=r"input_ids must be a torch\.Tensor, got list"):
        model(x.tolist())
    with pytest.raises(TypeError, match=r"input_ids must be int64 or int32, got torch\.float32"):
        model(x.float())
    with pytest.raises(ValueError, match=r"input_ids must be \[\.\.\., seq\], got shape \(\)"):
        model(torch.tensor(4))
    for name in ("token_type_ids", "position_ids"):
        with pytest.raises(TypeError, match=f"{name} must be int64 or int32, got torch.float32"):
            model(x, **{name: torch.zeros(2, SEQ)})
    for place in (-1, SEQ):
        with pytest.raises(ValueError, match=f"masked_positions must be from 0 to 15.* {place}$"):
            model(x, masked_positions=torch.tensor([[0, place]] * 2))
    for dtype in (torch.int16, torch.uint8, torch.bool):
        with pytest.raises(TypeError, match=f"labels of classes .* int64 or int32, got {dtype}"):
            make("FNetForSequenceClassification", num_labels=3)(
                x, labels=torch.ones(2, dtype=dtype)
            )
    with pytest.raises(TypeError, match="lables"):
        model(x, lables=x)
    with pytest.raises(TypeError, match="positional"):
        model(x, torch.ones_like(x))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            "FNetForMaskedLM",
            {"labels": ids().T},
            r"FNetForMaskedLM: labels .* \(2, 16\); got .*16, 2",
        ),
        (
            "FNetForSequenceClassification",
            {"labels": ids(2, 2)},
            r"labels of torch.int64 .* \(2,\)",
        ),
        (
            "FNetForSequenceClassification",
            {"labels": torch.tensor([0.5, 1])},
            r"labels of torch.float32 must have shape \(2, 3\); got shape \(2,\)",
        ),
        (
            "FNetForTokenClassification",
            {"labels": torch.zeros(2).long()},
            r"\(2, 16\); got .*\(2,\)",
        ),
        (
            "FNetForPreTraining",
            {"labels": ids(), "next_sentence_label": ids()},
            r"next_sentence_label .* shape \(2,\); got shape \(2, 16\)",
        ),
        (
            "FNetForQuestionAnswering",
            {"start_positions": torch.zeros(2).long(), "end_positions": torch.zeros(3).long()},
            r"end_positions of torch.int64 must have shape \(2,\); got shape \(3,\)",
        ),
    ],
)
def test_labels_of_other_shapes_are_errors(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, num_labels=3)(ids(), **given)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("FNetForPreTraining", {"labels": torch.zeros(2, 16).long()}),
        ("FNetForPreTraining", {"next_sentence_label": torch.zeros(2).long()}),
        ("FNetForQuestionAnswering", {"start_positions": torch.zeros(2).long()}),
        ("FNetForQuestionAnswering", {"end_positions": torch.zeros(2).long()}),
    ],
)
def test_a_loss_of_two_labels_needs_both(name: str, given: dict[str, Tensor]) -> None:
    assert make(name)(ids(), **given).loss is None


def test_labels_are_tensors_and_may_have_a_last_axis_of_one() -> None:
    model = make("FNetForSequenceClassification", num_labels=3).eval()
    labels = torch.tensor([2, 0])
    x = ids()
    several = torch.tensor([[0.0, 1, 1], [1, 0, 0]])
    for given in (labels, several):
        assert torch.equal(model(x, labels=given[..., None]).loss, model(x, labels=given).loss)
    with pytest.raises(TypeError, match=r"labels must be a torch\.Tensor, got list"):
        model(ids(), labels=[2, 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.int16])
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("FNetForTokenClassification", {"labels": (2, SEQ)}),
        ("FNetForMaskedLM", {"labels": (2, SEQ)}),
        ("FNetForNextSentencePrediction", {"labels": (2,)}),
        ("FNetForQuestionAnswering", {"start_positions": (2,), "end_positions": (2,)}),
    ],
)
def test_labels_are_indices(name: str, labels: dict[str, Any], dtype: torch.dtype) -> None:
    given = {key: torch.ones(shape, dtype=dtype) for key, shape in labels.items()}
    wrong = f"{name}: {min(labels, key=len)} must be int64 or int32, got {dtype}"
    with pytest.raises(TypeError, match=wrong if "end_positions" not in labels else "_positions"):
        make(name)(ids(), **given)


def test_an_index_beyond_its_table_is_named() -> None:
    model = make("FNetForMaskedLM").eval()
    x = ids()
    for name, bad in (("input_ids", 32000), ("token_type_ids", -1), ("position_ids", 16)):
        given = {"input_ids": x} | {name: torch.full_like(x, bad)}
        with pytest.raises(ValueError, match=f"FNetModel: {name} must be from 0 to .* got {bad}"):
            model(**given)


@pytest.mark.parametrize("dtype", [torch.int16, torch.bool])
def test_other_integers_are_errors(dtype: torch.dtype) -> None:
    wrong = f"must be int64 or int32, got {dtype}"
    with pytest.raises(TypeError, match=f"input_ids {wrong}"):
        make()(ids().to(dtype))
    with pytest.raises(TypeError, match=f"masked_positions {wrong}"):
        make("FNetForMaskedLM")(ids(), masked_positions=ids(2, 3).to(dtype))


def test_longer_models() -> None:
    model = make(max_position_embeddings=4096).eval()
    assert model(ids(1, 4096)).last_hidden_state.shape == (1, 4096, 64)


def test_positions_fit_the_input() -> None:
    model = FNetModel(FNetConfig.mini(vocab_size=50)).eval()
    ids = torch.randint(4, 50, (2, 4))
    plain = model(ids).last_hidden_state
    for shape in ((4,), (1, 4), (2, 4)):
        positions = torch.arange(4).expand(shape)
        assert torch.equal(model(ids, position_ids=positions).last_hidden_state, plain)
    for shape in ((3, 4), (2, 3), (1,), (1, 2, 4)):
        with pytest.raises(ValueError, match=r"position_ids must have the shape of the input, \(2"):
            model(ids, position_ids=torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("padding", ["tokens", "exact"])
def test_the_mean_of_no_token_is_zero(padding: str) -> None:
    model = FNetModel(FNetConfig.mini(pooling="mean", padding=padding)).eval()
    found = model(torch.zeros(2, 0, dtype=torch.long)).pooler_output
    assert torch.equal(found, model.pooler.dense.bias.tanh().expand(2, -1))


def test_labels_out_of_range_are_named() -> None:
    model = FNetForSequenceClassification(FNetConfig.mini(num_labels=3)).eval()
    tokens = torch.full((2, 4), 7)
    assert model(tokens, labels=torch.tensor([-100, 2])).loss.isfinite()
    for wrong in (3, -1):
        message = f"labels must be from 0 to 2, or -100, got {wrong}"
        with pytest.raises(ValueError, match=message):
            model(tokens, labels=torch.tensor([0, wrong]))
