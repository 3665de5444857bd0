"""FourierAttention inside models of transformers that were built with attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fnet_kernels import FourierAttention, reference
from python_tests.helpers.close import assert_close

transformers = pytest.importorskip("transformers")

SIZES = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_dropout_prob": 0.0,
}


class Definition(nn.Module):
    """The transform as the slot of attention calls it."""

    def forward(self, hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
        return reference.fourier_mix(hidden_states), None


def mixed(model: nn.Module, slot: str, build: Any) -> nn.Module:
    """`model` with `build()` in place of each module whose name ends with `slot`."""
    torch.manual_seed(0)
    names = [name for name, _ in model.named_modules() if name.endswith(slot)]
    assert len(names) == 2
    for name in names:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, build())
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def bert() -> nn.Module:
    return transformers.BertModel(transformers.BertConfig(vocab_size=50, **SIZES))


def vit() -> nn.Module:
    config = transformers.ViTConfig(image_size=8, patch_size=4, num_channels=1, **SIZES)
    return transformers.ViTModel(config)


def clip() -> nn.Module:
    config = transformers.CLIPVisionConfig(image_size=8, patch_size=4, num_channels=1, **SIZES)
    return transformers.CLIPVisionModel(config)


IDS = {"input_ids": torch.arange(12).view(2, 6)}
IMAGES = {"pixel_values": torch.arange(128.0).sin().view(2, 1, 8, 8)}


@pytest.mark.parametrize(
    ("build", "slot", "inputs"),
    [(bert, "attention.self", IDS), (vit, ".attention", IMAGES), (clip, "self_attn", IMAGES)],
)
@pytest.mark.parametrize("train", [False, True])
def test_models_of_transformers_mix(build: Any, slot: str, inputs: Any, train: bool) -> None:
    ours = mixed(build(), slot, lambda: FourierAttention(24, 4, batch_first=True)).train(train)
    expected = mixed(build(), slot, Definition).train(train)
    y, exact = (model(**inputs).last_hidden_state for model in (ours, expected))
    assert_close(y, exact, factor=50)
    if train:
        gradients = []
        for model, out in ((ours, y), (expected, exact)):
            out.square().sum().backward()
            embedding = next(p for p in model.parameters() if p.grad is not None and p.grad.any())
            gradients.append(embedding.grad)
        assert_close(*gradients, factor=200)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_bert_with_the_mask_of_a_tokenizer(implementation: str) -> None:
    model = mixed(bert(), "attention.self", lambda: FourierAttention(24, batch_first=True))
    model.set_attn_implementation(implementation)
    ids = IDS["input_ids"]
    y = model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    assert_close(y, model(ids).last_hidden_state, factor=10)
    padded = torch.ones_like(ids)
    padded[0, -2:] = 0
    with pytest.raises(ValueError, match="attention_mask must not mask anything"):
        model(ids, attention_mask=padded)
