"""The first half of an encoder layer: mixing, residual and LayerNorm.

The module trees are those of transformers' FNet and BERT, so that the keys of state dicts agree.

defines: AttentionSublayer, MixingSublayer
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from fnet_kernels._fusible import fusible_norm, only_runs_forward
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

    def forward(self, x: Tensor) -> Tensor:
        modules: Mapping[str, Any] = self._modules  # faster than attributes of a module
        mixer, output = modules["self"], modules["output"]
        if (
            only_runs_forward(mixer, FourierMix)
            and only_runs_forward(output, _PostNorm)
            and fusible_norm(norm := output._modules["LayerNorm"], x)
        ):
            return fused_fourier_mix(
                x, norm.weight, norm.bias, norm.eps, scale=mixer.scale, norm=mixer.norm
            )
        y: Tensor = output(mixer(x), x)
        return y


class AttentionSublayer(nn.Module):
    """`LayerNorm(x + attention(x))`."""

    def __init__(self, attention: SelfAttention, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.self = attention.self
        self.output = nn.ModuleDict({**attention.output, "LayerNorm": norm})

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        mixed = self.output["dense"](self.self(x, key_mask))
        y: Tensor = self.output["LayerNorm"](x + mixed)
        return y
