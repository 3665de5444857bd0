"""Whole models: FNet-Base and -Large, BERT-Base and -Large of Hugging Face transformers.

defines: KINDS, PASSES, make, passes_of, calls

Random weights, no pre-training heads, no dropout, all parameters in one dtype. A training step is
forward, backward and AdamW; the loss is the mean square of the last hidden states.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fnet_kernels import hf
from fnet_kernels._sizes import SIZES

KINDS = ("BERT", "FNet", "FNet ours")
PASSES = ("inference", "training step")


def make(kind: str, sizes: dict[str, int], positions: int) -> Any:
    """A model of one of the KINDS, stock: `patch_fnet` makes "FNet ours" of it."""
    from transformers import BertConfig, BertModel, FNetConfig, FNetModel

    shape: dict[str, Any] = {**sizes, "max_position_embeddings": max(512, positions)}
    torch.manual_seed(0)
    if kind == "BERT":
        shape |= {"attn_implementation": "sdpa", "attention_probs_dropout_prob": 0.0}
        config = BertConfig(
            **shape,
            num_attention_heads=max(1, shape["hidden_size"] // 64),
            hidden_dropout_prob=0.0,
        )
        return BertModel(config)
    return FNetModel(FNetConfig(**shape, hidden_dropout_prob=0.0))


def passes_of(
    model: Any, batch: int, seq: int, device: str, dtype: torch.dtype
) -> dict[str, Callable[[], Any]]:
    """Inference, and a training step, of `model` on random tokens, [batch, seq]."""
    model.to(device=device, dtype=dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    chance = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 1000, (batch, seq), generator=chance).to(device)

    def inference() -> Any:
        model.eval()
        with torch.no_grad():
            return model(tokens).last_hidden_state

    def training_step() -> None:
        model.train()
        model(tokens).last_hidden_state.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return {"inference": inference, "training step": training_step}


def calls(
    name: str, batch: int, seq: int, device: str, dtype: torch.dtype
) -> dict[str, Callable[[], Any]]:
    """{pass: call} of the model `name`, say "FNet ours-Base", each run once already."""
    kind, _, size = name.rpartition("-")
    model = make(kind, SIZES[size], seq)
    if kind == "FNet ours":
        hf.patch_fnet(model)
    made = passes_of(model, batch, seq, device, dtype)
    for call in made.values():
        call()
    return made
