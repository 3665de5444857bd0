"""Small models with our mixers, built by us and by transformers. Imports transformers late.

defines: KINDS, MASK, SEQ, SIZES, TOKENS, Learned, auto, from_config, inputs, ours, saved
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fnet_kernels import models
from fnet_kernels.models import FNetConfig

SEQ = 8
SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "max_position_embeddings": SEQ,
    "hidden_dropout_prob": 0.0,
    "mixer_args": {},
}
KINDS: dict[str, dict[str, Any]] = {
    "fourier": {},
    "learned": {"mixer": "learned"},
    "hybrid": {"num_attention_layers": 1, "num_attention_heads": 2},
}
MASK = torch.tensor([[1] * SEQ, [1] * 5 + [0] * 3])
TOKENS = torch.randint(5, 40, (2, SEQ), generator=torch.Generator().manual_seed(1))


class Learned(nn.Module):
    """A mixer with a parameter, a constant that no checkpoint holds, and a module inside."""

    def __init__(
        self, hidden_size: int, seq_len: int | None = None, *, gain: Any = "paper"
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((hidden_size,), 0.5))
        self.register_buffer("signs", torch.tensor([1.0, -1.0] * (hidden_size // 2)), False)
        self.inner = nn.Linear(hidden_size, hidden_size)
        nn.init.eye_(self.inner.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.flip(-2)) * self.weight * self.signs


def ours(name: str, **options: Any) -> Any:
    """A model of `fnet_kernels.models` whose parameters all differ."""
    model = getattr(models, name)(FNetConfig(**{**SIZES, **options}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def saved(directory: Path, name: str, **options: Any) -> Any:
    """Save such a model as `fnet_kernels`, even where transformers could load it as `fnet`."""
    model = ours(name, **options)
    model.save_pretrained(directory)
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"fnet"', '"fnet_kernels"'))
    return model


def auto(name: str) -> Any:
    import transformers

    return getattr(transformers, "AutoModel" + name.removeprefix("FNet").removeprefix("Model"))


def inputs(name: str) -> dict[str, Tensor]:
    if name.endswith("MultipleChoice"):
        return {"input_ids": TOKENS.reshape(2, 2, 4), "attention_mask": MASK.reshape(2, 2, 4)}
    return {"input_ids": TOKENS, "attention_mask": MASK}


def from_config(name: str, kind: str, **options: Any) -> Any:
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        "fnet_kernels", **{**SIZES, **KINDS[kind], **options}
    )
    return auto(name).from_config(config)
