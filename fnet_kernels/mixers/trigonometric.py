"""Mixers that compute a Hartley or a cosine transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fnet_kernels.functional import hartley_mix
from fnet_kernels.mixers.checks import checked
from fnet_kernels.mixers.fixed import FixedMixer
from fnet_kernels.mixers.registry import register_mixer


@register_mixer("hartley")
class Hartley(FixedMixer):
    """`Re(X) - Im(X)` with X = FFT2(x), as in Sparse Mixers (arXiv 2205.12399).

    It is `fnet_kernels.hartley_mix`: its own adjoint, and at gain 1 its own inverse.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> create_mixer("hartley", hidden_size=3)(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[ 6.0000, -2.3660, -0.6340]])
    """

    name = "hartley"

    def forward(self, x: Tensor) -> Tensor:
        x = checked(self.name, x, self.hidden_size)
        if isinstance(self.gain, str):
            return hartley_mix(x)
        return hartley_mix(x, scale=self.gain, norm="ortho")


def dct(u: Tensor, dim: int) -> Tensor:
    """The orthonormal DCT-II of `u`, float32 or float64, along `dim`.

    One real FFT of the same length n (Makhoul, "A fast cosine transform in one and two dimensions",
    IEEE TASSP 28(1), 1980). Let V be the FFT of the even samples followed by the odd ones backwards
    and W[k] = V[k] exp(-i pi k / (2 n)). Then coefficient k is Re(W[k]), coefficient n - k is
    -Im(W[k]), both times sqrt(2 / n), and coefficient 0 times sqrt(1 / n).
    """
    u = u.movedim(dim, -1)
    n = u.size(-1)
    spectrum = torch.fft.rfft(torch.cat((u[..., ::2], u[..., 1::2].flip(-1)), -1))
    k = torch.arange(n // 2 + 1, dtype=torch.float64, device=u.device)
    norm = ((k.clamp(max=1) + 1) / n).sqrt()
    angle = k * (-math.pi / (2 * n))
    turn = torch.complex((norm * angle.cos()).to(u.dtype), (norm * angle.sin()).to(u.dtype))
    turned = spectrum * turn
    rest = turned.imag[..., 1 : (n + 1) // 2].flip(-1).neg()
    return torch.cat((turned.real, rest), -1).movedim(-1, dim)


@register_mixer("dct")
class Dct(FixedMixer):
    """The DCT-II along both axes, an ablation of FNet (arXiv 2105.03824).

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    >>> create_mixer("dct", hidden_size=2, gain=2.0)(x).round(decimals=3)
    tensor([[11., -3.],
            [-5.,  1.]])
    """

    name = "dct"

    def transform(self, u: Tensor, gain: float) -> Tensor:
        return dct(dct(u, -2), -1) * gain  # in this order the result is contiguous
