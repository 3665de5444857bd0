"""Outputs and states of models, and assertions that they are the same.

defines: assert_same, assert_same_state, outputs
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def outputs(model: nn.Module, *args: Any, **options: Any) -> list[Tensor]:
    """All tensors that a call of `model` returns, without the absent loss."""
    with torch.no_grad():
        result = model(*args, **options)
    values = result.to_tuple() if hasattr(result, "to_tuple") else result
    return [value for value in values if isinstance(value, Tensor)]


def assert_same(
    actual: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float = 1e-5
) -> None:
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def assert_same_state(actual: nn.Module, expected: nn.Module) -> None:
    """The same names in the same order, and the same values."""
    state = actual.state_dict()
    assert list(state) == list(expected.state_dict())
    for name, tensor in expected.state_dict().items():
        assert torch.equal(state[name], tensor), name
