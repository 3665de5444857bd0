"""Whole models: FNet and BERT of Hugging Face transformers, stock and patched.

defines: Contestant, CONTESTANTS, TASKS, make, tasks_of, prepare

Random weights, no pre-training heads, no dropout, all parameters in one dtype. BERT uses SDPA. A
training step is forward, backward and AdamW; the loss is the mean square of the last hidden states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from fnet_kernels import hf
from fnet_kernels.demo.bert import make_bert

TASKS = ("inference", "training step")


@dataclass(frozen=True)
class Contestant:
    """A model in one dtype. Its kind is "BERT", "FNet" (stock) or "FNet patched"."""

    kind: str
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """`FNet patched bf16`."""
        return f"{self.kind} {'bf16' if self.dtype == torch.bfloat16 else 'fp32'}"


#: The most important first: a run that is cut short has compared these.
CONTESTANTS = (
    Contestant("BERT", torch.bfloat16),
    Contestant("FNet patched", torch.bfloat16),
    Contestant("FNet", torch.float32),
    Contestant("BERT", torch.float32),
    Contestant("FNet patched", torch.float32),
    Contestant("FNet", torch.bfloat16),
)


def make(kind: str, sizes: dict[str, int], positions: int) -> Any:
    """A model of one kind with at least 512 positions."""
    from transformers import FNetConfig, FNetModel

    torch.manual_seed(0)
    if kind == "BERT":
        return make_bert(sizes, positions)
    config: Any = {**sizes, "max_position_embeddings": max(512, positions)}
    model = FNetModel(FNetConfig(**config, hidden_dropout_prob=0.0))
    if kind == "FNet patched":
        hf.patch_fnet(model)
    return model


def tasks_of(
    model: Any, batch: int, seq: int, device: str, dtype: torch.dtype
) -> dict[str, Callable[[], Any]]:
    """{task: call} of `model` on random tokens, [batch, seq]."""
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


def prepare(
    contestant: Contestant,
    task: str,
    sizes: dict[str, int],
    batch: int,
    seq: int,
    device: str,
    *,
    backend: str | None = None,
    calls: int = 1,
) -> Callable[[], Any]:
    """One task of one contestant, run `calls` times already, compiled if a backend is named.

    Raises whatever the model raises: stock FNet refuses bfloat16, and memory may run out.
    """
    model = make(contestant.kind, sizes, seq)
    if backend is not None:
        model = torch.compile(model, backend=backend)
    call = tasks_of(model, batch, seq, device, contestant.dtype)[task]
    for _ in range(calls):
        call()
    return call
