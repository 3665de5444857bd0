"""The first half of an encoder layer: mixing, residual and LayerNorm.

The module trees are those of transformers' FNet and BERT, so that the keys of state dicts agree.

defines: AttentionSublayer, MixingSublayer
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from fnet_kernels._fusible import fusible_norm, only_runs_forward
from fnet_kernels._sequences import Sequences
from fnet_kernels.functional import fused_fourier_mix
from fnet_kernels.mixers.attention import SelfAttention
from fnet_kernels.modules import FourierMix


class _PostNorm(nn.Module):
    """`LayerNorm(x + mixed)`."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.LayerNorm = norm

    def forward(self, mixed: Tensor, x: Tensor) -> Tensor:
        y: Tensor = self.LayerNorm(x + mixed)
        return y


class MixingSublayer(nn.Module):
    """`LayerNorm(x + mixer(x))`; one fused operator if the mixer is a `FourierMix`."""

    def __init__(self, mixer: nn.Module, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.self = mixer
        self.output = _PostNorm(norm)

    def forward(self, x: Tensor, sequences: Sequences | None = None) -> Tensor:
        if sequences is not None:
            x = sequences.cleared(x)
        modules: Mapping[str, Any] = self._modules  # faster than attributes of a module
        mixer, output = modules["self"], modules["output"]
        if (
            only_runs_forward(mixer, FourierMix)
            and only_runs_forward(output, _PostNorm)
            and fusible_norm(norm := output._modules["LayerNorm"], x)
        ):
            fused = fused_fourier_mix if sequences is None else sequences.fused_fourier_mix
            return fused(x, norm.weight, norm.bias, norm.eps, scale=mixer.scale, norm=mixer.norm)
        mixed = mixer(x) if sequences is None else sequences.mix(mixer, x)
        y: Tensor = output(mixed, x)
        return y


class AttentionSublayer(nn.Module):
    """`LayerNorm(x + attention(x))`."""

    def __init__(self, attention: SelfAttention, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.self = attention.self
        self.output = nn.ModuleDict({**attention.output, "LayerNorm": norm})

    def forward(
        self, x: Tensor, key_mask: Tensor | None = None, sequences: Sequences | None = None
    ) -> Tensor:
        if sequences is None:
            heads = self.self(x, key_mask)
        else:
            heads = sequences.rows(self.self(*sequences.batch(x)))
        mixed = self.output["dense"](heads)
        y: Tensor = self.output["LayerNorm"](x + mixed)
        return y
