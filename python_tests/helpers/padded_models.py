"""Small models that take padded sequences, and the forms in which a call gives their lengths.

defines: GIVEN, IDS, caller, make, tensors
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from python_tests.helpers import mini_models
from python_tests.helpers.padded import CU_SEQLENS, LENGTHS, MASK, SEQ

IDS = torch.randint(4, 100, (len(LENGTHS), SEQ), generator=torch.Generator().manual_seed(1))


def make(name: str = "FNetModel", **config: Any) -> Any:
    """A model without dropout, in evaluation mode."""
    options = {
        "padding": "exact",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    return mini_models.make(name, **{**options, **config}).eval()


def tensors(output: Any) -> list[Tensor]:
    """The tensors of a model's result, without those of hidden states."""
    return [t for t in output if isinstance(t, Tensor)]


def caller(model: Any, **options: Any) -> Callable[[Tensor], list[Tensor]]:
    return lambda ids: tensors(model(ids, **options))


GIVEN: dict[str, dict[str, Any]] = {
    "booleans": {"attention_mask": MASK},
    "ones": {"attention_mask": MASK.long()},
    "floats": {"attention_mask": MASK.float()},
    "a list": {"lengths": LENGTHS},
    "a tensor": {"lengths": torch.tensor(LENGTHS)},
    "offsets": {"cu_seqlens": CU_SEQLENS},
    "an int32 tensor of offsets": {"cu_seqlens": torch.tensor(CU_SEQLENS, dtype=torch.int32)},
}
