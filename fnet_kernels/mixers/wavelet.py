"""Mixers that compute a wavelet transform.

defines: LOW_PASS, wavelet
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from fnet_kernels._ops.unreadable import is_traced
from fnet_kernels.mixers.fixed import FixedMixer
from fnet_kernels.mixers.gain import Gain
from fnet_kernels.mixers.registry import register_mixer

#: The orthonormal low-pass filters with 2 K taps and K vanishing moments, the most that 2 K taps
#: allow, for K = 1 to 4 (Daubechies, "Ten Lectures on Wavelets", 1992, table 6.1).
LOW_PASS: dict[str, tuple[float, ...]] = {
    "haar": (0.5**0.5, 0.5**0.5),
    "db2": (
        0.48296291314453414337,
        0.83651630373780790558,
        0.22414386804201338103,
        -0.12940952255126038117,
    ),
    "db3": (
        0.332670552950082616,
        0.80689150931109257649,
        0.4598775021184915701,
        -0.1350110200102545887,
        -0.085441273882026661693,
        0.035226291885709536603,
    ),
    "db4": (
        0.23037781330889650086,
        0.71484657055291564709,
        0.63088076792985890788,
        -0.027983769416859854211,
        -0.18703481171909308408,
        0.030841381835560763627,
        0.032883011666885199735,
        -0.010597401785069032105,
    ),
}


def wavelet(u: Tensor, dim: int, low_pass: tuple[float, ...]) -> Tensor:
    """The orthonormal periodic wavelet transform of `u` along `dim`, -1 or -2, to full depth.

    A level filters n samples, n even, into n / 2 averages and n / 2 details; the next level
    continues with the averages (Mallat, "A theory for multiresolution signal decomposition", 1989).
    An odd number of averages stays as it is. The coarsest coefficients come first, as from
    `pywt.wavedec(u, mode="periodization")`.
    """
    # Quadrature mirror filter: the taps backwards, the sign of every second one changed.
    high_pass = tuple(-tap if i % 2 else tap for i, tap in enumerate(reversed(low_pass)))
    if is_traced():  # a trace is of one length, and refuses another one by this
        u = torch.unflatten(u, dim, (int(u.size(dim)),))
    average, details = u, []
    while average.size(dim) % 2 == 0:
        samples = _samples(average, dim, len(low_pass))
        details.append(_filtered(samples, high_pass))
        average = _filtered(samples, low_pass)
    return torch.cat((average, *reversed(details)), dim)


def _samples(u: Tensor, dim: int, taps: int) -> list[Tensor]:
    """What each tap multiplies: u[2 k + offset] for all k, the middle taps at offsets 0 and 1."""
    phases = torch.unflatten(u, dim, (-1, 2)).unbind(dim)
    offsets = range(1 - taps // 2, 1 + taps // 2)
    return [
        phases[offset % 2].roll(-(offset // 2), dim) if offset // 2 else phases[offset]
        for offset in offsets
    ]


def _filtered(samples: list[Tensor], taps: tuple[float, ...]) -> Tensor:
    y = torch.add(samples[0], samples[1], alpha=taps[1] / taps[0])
    for sample, tap in zip(samples[2:], taps[2:], strict=True):
        y.add_(sample, alpha=tap / taps[0])
    return y.mul_(taps[0])  # last, because y is contiguous and samples[0] is not


class Wavelet(FixedMixer):
    """The wavelet transform along both axes, with one of the filters of `LOW_PASS`.

    It takes any length; while a length is even it is halved, so an odd length is not mixed, and
    only a power of two completely.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> create_mixer("haar", hidden_size=1, gain=2.0)(torch.tensor([[1.0], [3.0], [5.0], [5.0]])).T
    tensor([[14.0000, -6.0000, -2.8284,  0.0000]])
    """

    def __init__(
        self, name: str, hidden_size: int, seq_len: int | None = None, *, gain: Gain = "paper"
    ) -> None:
        super().__init__(hidden_size, seq_len, gain=gain)
        self.name = name

    def transform(self, u: Tensor, gain: float) -> Tensor:
        taps = LOW_PASS[self.name]
        return wavelet(wavelet(u, -2, taps), -1, taps) * gain

    def extra_repr(self) -> str:
        return f"{self.name!r}, {super().extra_repr()}"


for _name in LOW_PASS:
    register_mixer(_name)(partial(Wavelet, _name))
