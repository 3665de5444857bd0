"""Gradients and dtypes of models of padded sequences."""

from __future__ import annotations

import copy

import pytest
import torch

from python_tests.helpers.close import relative_error
from python_tests.helpers.padded import LENGTHS, MASK, SEQ
from python_tests.helpers.padded_models import IDS, make

pytestmark = pytest.mark.usefixtures("one_thread")


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    model = make("FNetForMaskedLM", num_attention_layers=1).train()
    runs = []
    for model.gradient_checkpointing in (False, True):
        model.zero_grad()
        model(IDS, attention_mask=MASK, labels=IDS.where(MASK, -100)).loss.backward()
        runs.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(map(torch.equal, *runs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    model = make("FNetForTokenClassification", initializer_range=0.1)
    expected = model(IDS, attention_mask=MASK).logits
    narrow = copy.deepcopy(model).to(dtype)
    logits = narrow(IDS, attention_mask=MASK).logits
    assert logits.dtype == dtype
    assert relative_error(logits[MASK], expected[MASK]) < (1e-5 if dtype.itemsize == 8 else 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = model(IDS, attention_mask=MASK).logits
    assert relative_error(autocast[MASK], expected[MASK]) < 0.1


def test_padding_gets_no_gradient_and_tokens_the_sum_of_their_own() -> None:
    model = make("FNetForSequenceClassification", num_labels=3)
    x = torch.randn(4, SEQ, 64, requires_grad=True)
    weights = torch.randn(4, 3)
    (model(inputs_embeds=x, attention_mask=MASK).logits * weights).sum().backward()
    assert not x.grad[~MASK].any()
    whole = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    gradient, model_x = x.grad.clone(), x.detach()
    model.zero_grad()
    for i, length in enumerate(LENGTHS):
        own = model_x[i : i + 1, :length].requires_grad_()
        (model(inputs_embeds=own).logits * weights[i]).sum().backward()
        assert relative_error(gradient[i, :length], own.grad[0]) < 1e-4
    summed = [p.grad for p in model.parameters() if p.grad is not None]
    for a, b in zip(whole, summed, strict=True):
        assert not b.any() or relative_error(a, b) < 1e-4
