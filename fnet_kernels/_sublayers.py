"""The first half of an encoder layer: mixing, residual and LayerNorm.

The module trees are those of transformers' FNet and BERT, so that the keys of state dicts agree.

defines: AttentionSublayer, MixingSublayer
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from fnet_kernels._fusible import fusible_norm, only_runs_forward
from fnet_kernels._sequences import Sequences, mixed_by
from fnet_kernels.functional import fused_fourier_mix
from fnet_kernels.mixers.attention import SelfAttention
from fnet_kernels.modules import FourierMix

NormModule = nn.LayerNorm | nn.RMSNorm


def _kind_of(norm: Any) -> type[nn.Module]:
    return nn.RMSNorm if type(norm) is nn.RMSNorm else nn.LayerNorm


class _PostNorm(nn.Module):
    """`LayerNorm(x + mixed)`."""

    def __init__(self, norm: NormModule) -> None:
        super().__init__()
        self.LayerNorm = norm

    def forward(self, mixed: Tensor, x: Tensor) -> Tensor:
        y: Tensor = self.LayerNorm(x + mixed)
        return y


class _PreNorm(nn.Module):
    """`LayerNorm(x)`."""

    def __init__(self, norm: NormModule) -> None:
        super().__init__()
        self.LayerNorm = norm

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.LayerNorm(x)
        return y


class MixingSublayer(nn.Module):
    """`LayerNorm(x + mixer(x))`, or with `norm_first` `x + mixer(LayerNorm(x))`.

    One fused operator if the mixer is a `FourierMix`.
    """

    def __init__(self, mixer: nn.Module, norm: NormModule, norm_first: bool = False) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self = mixer
        self.output = (_PreNorm if norm_first else _PostNorm)(norm)

    def forward(self, x: Tensor, sequences: Sequences | None = None) -> Tensor:
        modules: Mapping[str, Any] = self._modules  # faster than attributes of a module
        mixer, output = modules["self"], modules["output"]
        norm_first = self.norm_first
        if (
            only_runs_forward(mixer, FourierMix)
            and only_runs_forward(output, _PreNorm if norm_first else _PostNorm)
            and fusible_norm(norm := output._modules["LayerNorm"], x, _kind_of(norm))
        ):
            rms = _kind_of(norm) is nn.RMSNorm
            if sequences is None:
                return fused_fourier_mix(
                    x,
                    norm.weight,
                    None if rms else norm.bias,
                    norm.eps,
                    scale=mixer.scale,
                    norm=mixer.norm,
                    norm_first=norm_first,
                    norm_type="rms" if rms else "layer",
                )
            if not (norm_first or rms):  # the operators of lengths have post-norm LayerNorm alone
                return sequences.fused_fourier_mix(
                    x, norm.weight, norm.bias, norm.eps, scale=mixer.scale, norm=mixer.norm
                )
        y: Tensor
        mix = partial(mixed_by if sequences is None else sequences.mix, mixer)
        if not norm_first:
            y = output(mix(x), x)
            return y
        read = output(x)
        if sequences is not None:
            read = sequences.cleared(read)  # LayerNorm makes its bias of zeros
        y = x + mix(read)
        return y


class AttentionSublayer(nn.Module):
    """`LayerNorm(x + attention(x))`, or with `norm_first` `x + attention(LayerNorm(x))`."""

    def __init__(
        self, attention: SelfAttention, norm: NormModule, norm_first: bool = False
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.self = attention.self
        self.output = nn.ModuleDict({**attention.output, "LayerNorm": norm})

    def forward(
        self, x: Tensor, key_mask: Tensor | None = None, sequences: Sequences | None = None
    ) -> Tensor:
        norm = self.output["LayerNorm"]
        read = norm(x) if self.norm_first else x
        if sequences is None:
            heads = self.self(read, key_mask)
        else:
            heads = sequences.rows(self.self(*sequences.batch(read)))
        mixed = self.output["dense"](heads)
        y: Tensor = x + mixed if self.norm_first else norm(x + mixed)
        return y
