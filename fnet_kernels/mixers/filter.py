"""A learned filter of each channel, by default in the frequency domain.

defines: KINDS, FilterMix
"""

from __future__ import annotations

import torch
from torch import Tensor, fft, nn

from fnet_kernels._ops.autograd import compute
from fnet_kernels._ops.checks import kind
from fnet_kernels.mixers.bases import BASES
from fnet_kernels.mixers.gain import Gain
from fnet_kernels.mixers.registry import register_mixer
from fnet_kernels.mixers.sized import PAPER_STD, SizedMixer

#: The bases by name.
KINDS = ("fourier", *BASES)


@register_mixer("filter")
class FilterMix(SizedMixer):
    """A learned filter of each channel: transform along the sequence, multiply, transform back.

    With the basis "fourier" this is the global filter layer of GFNet (arXiv 2107.00645) for a
    sequence: a circular convolution of each channel with a kernel as long as the sequence.
    `seq_kernel` holds real and imaginary parts, `[seq_len // 2 + 1, hidden_size, 2]`. In the other
    bases, which are real, it is `[seq_len, hidden_size]`.

    `seq_kernel` starts from N(0, 0.02^2). With a number as `gain`, white noise leaves the initial
    mixer with `abs(gain)` times its root mean square. A sequence has exactly `seq_len` tokens.

    Args:
        basis: "fourier", "dct" (DCT-II), or "haar" (the wavelet transform to full depth, which
            mixes blocks as long as the largest power of two that divides `seq_len`).

    Raises:
        TypeError: `basis` is not a string.
        ValueError: `basis` is another one.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> create_mixer("filter", hidden_size=64, seq_len=128)(torch.randn(2, 128, 64)).shape
    torch.Size([2, 128, 64])
    """

    name = "filter"

    def __init__(
        self,
        hidden_size: int,
        seq_len: int | None = None,
        *,
        gain: Gain = "paper",
        basis: str = "fourier",
    ) -> None:
        super().__init__(hidden_size, seq_len, gain)
        if not isinstance(basis, str):
            raise TypeError(f"filter: basis must be a str, got {kind(basis)}")
        if basis not in KINDS:
            known = ", ".join(map(repr, KINDS))
            raise ValueError(f"filter: basis must be one of {known}; got {basis!r}")
        self.basis = basis
        shape = [self.seq_len, self.hidden_size]
        if basis == "fourier":
            shape = [self.seq_len // 2 + 1, self.hidden_size, 2]
        self.seq_kernel = nn.Parameter(torch.empty(shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw `seq_kernel` from a normal distribution."""
        std = PAPER_STD
        if not isinstance(self.gain, str):
            std = abs(self.gain)
            if self.basis == "fourier":
                # Real and imaginary parts act on every frequency of the whole spectrum, except 0
                # and seq_len / 2, where the imaginary part has no effect.
                real = 1 if self.seq_len % 2 else 2
                std /= (2 - real / self.seq_len) ** 0.5
        nn.init.normal_(self.seq_kernel, std=std)

    def mix(self, x: Tensor) -> Tensor:
        u, kernel = compute(x), compute(self.seq_kernel)
        if self.basis == "fourier":
            spectrum = fft.rfft(u, dim=-2) * torch.view_as_complex(kernel)
            y: Tensor = fft.irfft(spectrum, self.seq_len, dim=-2)
        else:
            transform, inverse = BASES[self.basis]
            y = inverse(transform(u) * kernel)
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, basis={self.basis!r}"
