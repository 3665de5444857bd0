"""Small FNet models of transformers, and what to compare of them. Imports transformers late."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from python_tests.helpers.close import relative_error

BATCH, SEQ, VOCABULARY = 2, 16, 100
LABELS = torch.randint(4, VOCABULARY, (BATCH, SEQ))
CLASSES = torch.tensor([0, 1])
#: Every FNet class of transformers, with the labels that its loss takes.
MODELS: dict[str, dict[str, Tensor]] = {
    "FNetModel": {},
    "FNetForPreTraining": {"labels": LABELS, "next_sentence_label": CLASSES},
    "FNetForMaskedLM": {"labels": LABELS},
    "FNetForNextSentencePrediction": {"labels": CLASSES},
    "FNetForSequenceClassification": {"labels": CLASSES},
    "FNetForMultipleChoice": {"labels": CLASSES},
    "FNetForTokenClassification": {"labels": LABELS % 2},
    "FNetForQuestionAnswering": {"start_positions": CLASSES, "end_positions": CLASSES + 3},
}


def build(name: str = "FNetModel", **config: Any) -> Any:
    import transformers

    torch.manual_seed(0)
    defaults = {
        "vocab_size": VOCABULARY,
        "hidden_size": 24,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "max_position_embeddings": 64,
        "tpu_short_seq_length": SEQ,
        "layer_norm_eps": 0.1,  # large enough to be missed
        "initializer_range": 0.3,  # with 0.02 all tokens come out nearly alike
    }
    return getattr(transformers, name)(transformers.FNetConfig(**{**defaults, **config})).eval()


def batch(name: str = "FNetModel") -> dict[str, Tensor]:
    shape = (BATCH, 3, SEQ) if "MultipleChoice" in name else (BATCH, SEQ)
    generator = torch.Generator().manual_seed(1)
    return {"input_ids": torch.randint(4, VOCABULARY, shape, generator=generator)}


def results(model: nn.Module, **kwargs: Any) -> list[Tensor]:
    """All tensors that the model returns."""
    values = model(**kwargs).to_tuple()
    return [t for v in values for t in (v if isinstance(v, tuple) else (v,)) if t is not None]


def agree(ours: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    assert len(ours) == len(expected) > 0
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == b.dtype or tolerance > 1e-3
        assert relative_error(a, b) <= tolerance


class FusedCalls(TorchDispatchMode):
    """Counts our forward operators, and keeps their names in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    @property
    def count(self) -> int:
        """Of the fused ones."""
        return sum(name.startswith("fused") for name in self.names)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "fnet_kernels" and "backward" not in func._opname:
            self.names.append(func._opname)
        return func(*args, **(kwargs or {}))
