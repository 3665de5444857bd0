"""Alternatives to the mixing sublayer from other models, and the encoder layer around it.

defines: attention_form, compiled_attention_form, linear_attention_form, Layer

They are modules with their own parameters and take the same arguments as all contestants:
(x, weight, bias).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from bench.contestants.setting import EPS, Setting, Sublayer
from bench.contestants.transforms import norm
from fnet_kernels.demo.attention import SelfAttention

_LINFORMER_ROWS = 256  # k in the Linformer paper (arXiv 2006.04768), for lengths from 512


class _Attention(nn.Module):
    """Self-attention, with the SDPA kernel that torch chooses or only with `backend`.

    It has its own LayerNorm and ignores weight and bias.
    """

    def __init__(self, hidden: int, backend: SDPBackend | None) -> None:
        super().__init__()
        self.attention = SelfAttention(hidden)
        self.backend = backend

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        with nullcontext() if self.backend is None else sdpa_kernel(self.backend):
            y: Tensor = self.attention(x)
        return y


class _LinearAttention(nn.Module):
    """Linformer attention: projects keys and values along seq to a fixed number of rows."""

    def __init__(self, seq: int, hidden: int) -> None:
        super().__init__()
        self.heads = hidden // 64 if hidden % 64 == 0 else 1
        rows = min(_LINFORMER_ROWS, seq)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.along_seq = nn.Parameter(torch.randn(rows, seq) * seq**-0.5)  # shared by K and V
        self.projection = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        query, keys_values = self.qkv(x).split((x.shape[-1], 2 * x.shape[-1]), -1)
        shorter = self.along_seq @ keys_values  # [batch, rows, 2 hidden]
        key, value = shorter.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query = query.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        mixed = scaled_dot_product_attention(query, key, value)
        return norm(x + self.projection(mixed.transpose(1, 2).flatten(2)), weight, bias)


class Layer(nn.Module):
    """An encoder layer: `mixing`, then LayerNorm(h + FF(h)) with a feed-forward 4 times as wide.

    If `mixing` is None, the layer consists of the feed-forward half, like the FF-only model of the
    FNet paper.
    """

    def __init__(self, mixing: Sublayer | None, hidden: int) -> None:
        super().__init__()
        self.mixing = mixing
        self.dense_in = nn.Linear(hidden, 4 * hidden)
        self.dense_out = nn.Linear(4 * hidden, hidden)
        self.norm = nn.LayerNorm(hidden, EPS)
        self.activation = nn.GELU(approximate="tanh")

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        h = x if self.mixing is None else self.mixing(x, weight, bias)
        y: Tensor = self.norm(h + self.dense_out(self.activation(self.dense_in(h))))
        return y


def placed(module: nn.Module, setting: Setting) -> nn.Module:
    """Move `module` to the device and dtype of the setting."""
    return module.to(device=setting.device, dtype=setting.dtype)


def attention_form(setting: Setting, backend: SDPBackend | None = None) -> Sublayer:
    """BERT's sublayer: QKV in one product, SDPA, output projection, residual, LayerNorm."""
    return placed(_Attention(setting.shape[2], backend), setting)


def compiled_attention_form(setting: Setting) -> Sublayer:
    """The same, compiled by torch."""
    return torch.compile(attention_form(setting), fullgraph=True, dynamic=False)


def linear_attention_form(setting: Setting) -> Sublayer:
    """Linformer's sublayer: the same with keys and values projected to 256 rows."""
    return placed(_LinearAttention(*setting.shape[1:]), setting)


def layer_form(
    mixing: Callable[[Setting], Sublayer] | None,
) -> Callable[[Setting], Sublayer]:
    """Return a function that makes an encoder layer around the sublayer that `mixing` makes."""

    def make(setting: Setting) -> Sublayer:
        inner = None if mixing is None else mixing(setting)
        return placed(Layer(inner, setting.shape[2]), setting)

    return make
