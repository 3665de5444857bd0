"""What the demo measures at one length: agreement, bfloat16, times.

defines: Agreement, Measured, measure, shared_copy
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fnet_kernels import hf
from fnet_kernels._terminal import Progress
from fnet_kernels._timing import Timing, interleave
from fnet_kernels.demo.attention import SelfAttention
from fnet_kernels.demo.bert import make_bert

STOCK, PATCHED, PATCHED_BF16 = "stock fp32", "patched fp32", "patched bf16"
ATTENTION, ATTENTION_BF16 = "BERT attention fp32", "BERT attention bf16"
BERT, BERT_BF16 = "BERT fp32", "BERT bf16"

STEPS = 4  # progress steps of `measure`


@dataclass(frozen=True)
class Agreement:
    """How far two lists of hidden states are apart, over all layers."""

    largest: float  # max |a - b|
    relative: float  # rms(a - b) / rms(b)

    @classmethod
    def between(cls, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Agreement:
        """Compare layer by layer; a NaN on either side makes both figures NaN."""
        difference = torch.stack(
            [(a.float() - b.float()) for a, b in zip(ours, theirs, strict=True)]
        )
        scale = torch.stack([b.float() for b in theirs])
        relative = difference.square().mean().sqrt() / scale.square().mean().sqrt()
        return cls(difference.abs().max().item(), relative.item())


@dataclass(frozen=True)
class Measured:
    """Everything that the demo found at one length. Times are per call, for the whole batch."""

    batch: int
    seq: int
    fp32: Agreement  # patched against stock, both fp32
    stock_bf16: str | None  # the first line of what stock raises; None where it ran
    bf16: Agreement  # patched bf16 against patched fp32
    sublayer: dict[str, Timing]
    model: dict[str, Timing]

    @property
    def shape(self) -> str:
        """`4 x 512` for 4 sequences of 512 tokens."""
        return f"{self.batch} x {self.seq}"


def shared_copy(model: nn.Module) -> nn.Module:
    """A copy of the modules around the very same parameters and buffers."""
    kept = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in kept})


def _hidden_states(model: nn.Module, rows: Tensor) -> tuple[Tensor, ...]:
    states: tuple[Tensor, ...] = model(rows, output_hidden_states=True).hidden_states
    return states


@torch.inference_mode()
def measure(stock: nn.Module, rows: Tensor, progress: Progress, seconds: float) -> Measured:
    """Run `stock` and a patched copy on `rows`, int64 [batch, seq].

    Timing takes about `seconds`, or one round of the whole model where that takes longer, as in
    bfloat16 on processors without instructions for it.
    """
    shape = f"{rows.shape[0]} x {rows.shape[1]}"
    patched = shared_copy(stock)
    hf.patch_fnet(patched)

    progress.step(f"{shape}: comparing hidden states, stock and patched")
    expected = _hidden_states(stock, rows)
    found = _hidden_states(patched, rows)
    fp32 = Agreement.between(found, expected)

    progress.step(f"{shape}: bfloat16, stock and patched")
    half = copy.deepcopy(stock).to(torch.bfloat16)
    stock_bf16 = None
    try:
        half(rows)
    except RuntimeError as error:
        stock_bf16 = str(error).splitlines()[0]
    hf.patch_fnet(half)
    bf16 = Agreement.between(_hidden_states(half, rows), found)

    progress.step(f"{shape}: timing the mixing sublayer and self-attention")
    sublayer = interleave(
        _sublayers(stock, patched, half, expected[0]),
        seconds=seconds * 0.3,
        minimum=5,
        maximum=60,
        on_round=progress.part,
    )
    progress.step(f"{shape}: timing the model")
    bert = make_bert(_sizes(stock), rows.shape[1]).eval()
    bert16 = copy.deepcopy(bert).to(torch.bfloat16)
    model = interleave(
        {
            STOCK: lambda: stock(rows),
            PATCHED: lambda: patched(rows),
            PATCHED_BF16: lambda: half(rows),
            BERT: lambda: bert(rows),
            BERT_BF16: lambda: bert16(rows),
        },
        seconds=seconds * 0.7,
        minimum=1,
        maximum=20,
        on_round=progress.part,
    )
    return Measured(rows.shape[0], rows.shape[1], fp32, stock_bf16, bf16, sublayer, model)


def _sizes(model: nn.Module) -> dict[str, Any]:
    """The fields of the configuration that a BERT of the same size has too."""
    fields = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
    return {field: getattr(model.config, field) for field in fields}


def _sublayers(
    stock: nn.Module, patched: nn.Module, half: nn.Module, x: Tensor
) -> dict[str, Callable[[], object]]:
    """The first layer's mixing on its true input, and an attention sublayer on the same."""
    x16 = x.to(torch.bfloat16)
    attention = SelfAttention(x.shape[-1])
    attention16 = copy.deepcopy(attention).to(torch.bfloat16)
    first, mine, mine16 = (m.encoder.layer[0].fourier for m in (stock, patched, half))  # type: ignore[union-attr,index]
    return {
        STOCK: lambda: first(x),
        PATCHED: lambda: mine(x),
        PATCHED_BF16: lambda: mine16(x16),
        ATTENTION: lambda: attention(x),
        ATTENTION_BF16: lambda: attention16(x16),
    }
