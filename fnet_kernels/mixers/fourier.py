"""Mixers that compute a Fourier transform."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fnet_kernels.mixers.fixed import FixedMixer
from fnet_kernels.mixers.gain import Gain
from fnet_kernels.mixers.registry import register_mixer
from fnet_kernels.modules import FourierMix


@register_mixer("fourier")
def fourier(hidden_size: int, seq_len: int | None = None, *, gain: Gain = "paper") -> nn.Module:
    """FNet's own (arXiv 2105.03824, section 3.2), which a sublayer fuses."""
    return FourierMix() if isinstance(gain, str) else FourierMix(gain, norm="ortho")


@register_mixer("fourier_seq")
class FourierSeq(FixedMixer):
    """`Re(FFT(x))` along the sequence alone, an ablation of FNet (arXiv 2105.03824).

    For "paper" the gain is sqrt(seq): the transform is unnormalised.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    >>> create_mixer("fourier_seq", hidden_size=2)(x).round(decimals=3)
    tensor([[ 4.,  7.],
            [-2., -3.]])
    """

    name = "fourier_seq"

    def number(self, x: Tensor) -> float:
        return x.size(-2) ** 0.5 if isinstance(self.gain, str) else self.gain

    def transform(self, u: Tensor, gain: float) -> Tensor:
        half = torch.fft.rfft(u, dim=-2, norm="ortho").real * gain
        # The real part is even in the frequency.
        return torch.cat((half, half[..., 1 : (u.size(-2) + 1) // 2, :].flip(-2)), -2)
