"""Orthonormal bases in which a filter multiplies: each transform along the sequence, and back.

defines: BASES
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from fnet_kernels.mixers.trigonometric import dct
from fnet_kernels.mixers.wavelet import LOW_PASS, wavelet

Transform = Callable[[Tensor], Tensor]


def _dct(u: Tensor) -> Tensor:
    return dct(u, -2)


def _inverse_dct(c: Tensor) -> Tensor:
    """The inverse of the orthonormal DCT-II: the steps of `dct`, backwards."""
    c = c.mT
    n = c.size(-1)
    k = torch.arange(n // 2 + 1, dtype=torch.float64, device=c.device)
    norm = (n / (k.clamp(max=1) + 1)).sqrt()
    phases = torch.polar(norm, k * (math.pi / (2 * n)))
    # Coefficient k is the real part, coefficient n - k minus the imaginary part.
    imaginary = pad(c.flip(-1)[..., : n // 2].neg(), (1, 0))
    spectrum = torch.complex(c[..., : n // 2 + 1], imaginary)
    samples = torch.fft.irfft(spectrum * phases.to(spectrum.dtype), n)
    even, odd = samples[..., : (n + 1) // 2], samples[..., (n + 1) // 2 :].flip(-1)
    pairs = torch.stack((even, pad(odd, (0, n % 2))), -1)
    return pairs.flatten(-2)[..., :n].mT


def _haar(u: Tensor) -> Tensor:
    return wavelet(u, -2, LOW_PASS["haar"])


def _inverse_haar(c: Tensor) -> Tensor:
    """The inverse of the Haar transform: each level makes pairs of the averages and details."""
    c = c.mT
    n = c.size(-1)
    done = n // (n & -n)  # the averages of the last level, an odd number
    u = c[..., :done]
    while done < n:
        detail = c[..., done : 2 * done]
        u = torch.stack((u + detail, u - detail), -1).flatten(-2) * 0.5**0.5
        done *= 2
    return u.mT


#: The transform of `[..., seq, hidden]` along seq, and its inverse.
BASES: dict[str, tuple[Transform, Transform]] = {
    "dct": (_dct, _inverse_dct),
    "haar": (_haar, _inverse_haar),
}
