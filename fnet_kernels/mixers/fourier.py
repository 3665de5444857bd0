"""Mixers that compute a Fourier transform."""

from __future__ import annotations

from torch import nn

from fnet_kernels.mixers.gain import Gain
from fnet_kernels.mixers.registry import register_mixer
from fnet_kernels.modules import FourierMix


@register_mixer("fourier")
def fourier(hidden_size: int, seq_len: int | None = None, *, gain: Gain = "paper") -> nn.Module:
    """FNet's own (arXiv 2105.03824, section 3.2), which a sublayer fuses."""
    return FourierMix() if isinstance(gain, str) else FourierMix(gain, norm="ortho")
