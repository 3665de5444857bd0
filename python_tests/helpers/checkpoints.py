"""Small models of ours and of transformers to save. Imports transformers late.

defines: SIZES, assert_same_outputs, ours, stock
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fnet_kernels import models
from fnet_kernels.models import FNetConfig
from python_tests.helpers.same_models import assert_same, outputs

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "max_position_embeddings": 8,
}
TOKENS = torch.arange(16).reshape(2, 8)


def randomized(model: Any) -> Any:
    """Return `model` in evaluation mode, with no parameter at a value that another one has too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + 0.05)
    return model.eval()


def ours(name: str = "FNetForMaskedLM", **options: Any) -> Any:
    return randomized(getattr(models, name)(FNetConfig(**SIZES, **options)))


def stock(name: str = "FNetForMaskedLM", **options: Any) -> Any:
    import transformers

    return randomized(getattr(transformers, name)(transformers.FNetConfig(**SIZES, **options)))


def assert_same_outputs(actual: nn.Module, expected: nn.Module, tolerance: float = 1e-5) -> None:
    multiple = type(actual).__name__.endswith("ForMultipleChoice")
    tokens = TOKENS.reshape(2, 2, 4) if multiple else TOKENS
    assert_same(outputs(actual, tokens), outputs(expected, tokens), tolerance)
