"""Mixers that multiply by a matrix along the sequence and by another along the hidden dimension.

The matrices are learned ("linear"), random and fixed ("random"), or learned and structured
("circulant", "toeplitz"). Sources: FNet (arXiv 2105.03824, section 4 and its code,
`f_net/layers.py`) for the first two, Sparse Mixers (arXiv 2205.12399 and its code,
`sparse_mixers/layers.py`) for the others.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, fft, nn
from torch.compiler import is_compiling

from fnet_kernels._lecun_normal import lecun_normal_
from fnet_kernels._ops.autograd import compute
from fnet_kernels._ops.checks import autocasting, check_size
from fnet_kernels.mixers.gain import Gain
from fnet_kernels.mixers.registry import register_mixer
from fnet_kernels.mixers.sized import PAPER_STD, SizedMixer

#: Up to about this length, a product with a Toeplitz matrix is faster than FFTs of twice the
#: length, on two cores, in inference and in training. The FFTs of a circulant matrix are half as
#: long, and faster than the product from 512 on; they serve all lengths.
_LONGEST_MATMUL = 1024
#: The products of powers of 3 and 5, up to 3^19 5^13.
_POWERS = [math.prod((3,) * i + (5,) * j) for i in range(20) for j in range(14)]


class _DenseMix(SizedMixer):
    """`scale * seq_kernel @ x @ hidden_kernel`, without bias.

    A sequence of n < seq_len tokens uses the leading n x n block of `seq_kernel`.
    """

    takes_shorter = True
    hidden_kernel: Tensor
    scale = 1.0

    def mix(self, x: Tensor) -> Tensor:
        n = x.size(-2)
        block = self.seq_kernel[:n, :n]
        return (block if self.scale == 1.0 else self.scale * block) @ (x @ self.hidden_kernel)


@register_mixer("linear")
class LinearMix(_DenseMix):
    """`seq_kernel @ x @ hidden_kernel`: two learned matrices, the Linear model of FNet.

    Both kernels, `[seq_len, seq_len]` and `[hidden_size, hidden_size]`, start from N(0, 0.02^2).
    With a number as `gain`, the standard deviations are `abs(gain) / sqrt(seq_len)` and
    `1 / sqrt(hidden_size)`. A sequence of n < seq_len tokens uses the leading n x n block of
    `seq_kernel`.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> create_mixer("linear", hidden_size=64, seq_len=128)(torch.randn(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    name = "linear"

    def __init__(
        self, hidden_size: int, seq_len: int | None = None, *, gain: Gain = "paper"
    ) -> None:
        super().__init__(hidden_size, seq_len, gain)
        self.seq_kernel = nn.Parameter(torch.empty(self.seq_len, self.seq_len))
        self.hidden_kernel = nn.Parameter(torch.empty(self.hidden_size, self.hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both kernels from normal distributions."""
        _draw(self)


@register_mixer("random")
class RandomMix(_DenseMix):
    """`seq_kernel @ x @ hidden_kernel`: two fixed random matrices, the Random model of FNet.

    Each matrix is drawn by LeCun's rule: a normal distribution, truncated at two standard
    deviations, with variance 1 / length. White noise of `seq_len` tokens keeps its root mean
    square, so that the gain "paper" is 1. A number multiplies the output. A sequence of n < seq_len
    tokens uses the leading n x n block of `seq_kernel`.

    The matrices are buffers and part of the state dict, because a seed may give other
    numbers in another release of torch.

    Args:
        seed: draws the matrices from a generator of their own, on the CPU; None draws from torch's
            generator, so that each layer of a model has other matrices, as in FNet's code.

    Raises:
        TypeError: `seed` is not an integer.
        ValueError: `seed` is negative, or 2^64 or more.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> create_mixer("random", hidden_size=64, seq_len=128, seed=0)(torch.randn(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    name = "random"

    def __init__(
        self,
        hidden_size: int,
        seq_len: int | None = None,
        *,
        gain: Gain = "paper",
        seed: int | None = None,
    ) -> None:
        super().__init__(hidden_size, seq_len, gain)
        self.scale = 1.0 if isinstance(gain, str) else gain
        self.seed = None if seed is None else _check_seed(self.name, seed)
        self.register_buffer("seq_kernel", torch.empty(self.seq_len, self.seq_len))
        self.register_buffer("hidden_kernel", torch.empty(self.hidden_size, self.hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both matrices again, the same ones if there is a seed."""
        chance = None
        if self.seed is not None:
            chance = torch.Generator("cpu").manual_seed(self.seed)
        with torch.no_grad():
            self.seq_kernel.copy_(_lecun_normal(self.seq_len, chance))
            self.hidden_kernel.copy_(_lecun_normal(self.hidden_size, chance))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, seed={self.seed}"


@register_mixer("circulant")
class CirculantMix(SizedMixer):
    """`C(seq_kernel) @ x @ C(hidden_kernel).T` with circulant matrices `C(v)[r, c] = v[r - c]`.

    Indices are taken modulo the length, so that this is a circular convolution along both axes,
    computed by the FFT. The kernels, `[seq_len]` and `[hidden_size]`, start from N(0, 0.02^2). With
    a number as `gain`, the standard deviations are `abs(gain) / sqrt(seq_len)` and
    `1 / sqrt(hidden_size)`. A sequence has exactly `seq_len` tokens.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> create_mixer("circulant", hidden_size=64, seq_len=128)(torch.randn(2, 128, 64)).shape
    torch.Size([2, 128, 64])
    """

    name = "circulant"

    def __init__(
        self, hidden_size: int, seq_len: int | None = None, *, gain: Gain = "paper"
    ) -> None:
        super().__init__(hidden_size, seq_len, gain)
        self.seq_kernel = nn.Parameter(torch.empty(self.seq_len))
        self.hidden_kernel = nn.Parameter(torch.empty(self.hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both kernels from normal distributions."""
        _draw(self)

    def mix(self, x: Tensor) -> Tensor:
        seq, hidden = compute(self.seq_kernel)[:, None], compute(self.hidden_kernel)
        kernel = fft.fft(seq, dim=0) * fft.rfft(hidden)
        spectrum = fft.rfft2(compute(x)) * kernel
        y: Tensor = fft.irfft2(spectrum, s=x.shape[-2:])
        return y.to(x.dtype)


@register_mixer("toeplitz")
class ToeplitzMix(SizedMixer):
    """`T(seq_kernel) @ x @ T(hidden_kernel).T` with Toeplitz matrices T.

    `T(t)[r, c] = t[N - 1 + c - r]` for an axis of length N. The kernels, `[2 * seq_len - 1]` and
    `[2 * hidden_size - 1]`, start from N(0, 0.02^2). With a number as `gain`, the standard
    deviations are `abs(gain) / sqrt(seq_len)` and `1 / sqrt(hidden_size)`. A sequence of
    n < seq_len tokens uses the leading n x n block of `T(seq_kernel)`. A long axis is convolved by
    the FFT, in time N log(N).

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> create_mixer("toeplitz", hidden_size=64, seq_len=128)(torch.randn(2, 100, 64)).shape
    torch.Size([2, 100, 64])
    """

    name = "toeplitz"
    takes_shorter = True

    def __init__(
        self, hidden_size: int, seq_len: int | None = None, *, gain: Gain = "paper"
    ) -> None:
        super().__init__(hidden_size, seq_len, gain)
        self.seq_kernel = nn.Parameter(torch.empty(2 * self.seq_len - 1))
        self.hidden_kernel = nn.Parameter(torch.empty(2 * self.hidden_size - 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both kernels from normal distributions."""
        _draw(self)

    def mix(self, x: Tensor) -> Tensor:
        n = x.size(-2)
        leading = self.seq_kernel.narrow(0, self.seq_len - n, 2 * n - 1)
        y = _toeplitz_product(leading, x)
        return _toeplitz_product(self.hidden_kernel, y.mT).mT


def _check_seed(name: str, seed: int) -> int:
    found = check_size(name, "seed", seed, least=0)
    if found >= 1 << 64:
        raise ValueError(f"{name}: seed must be less than 2^64, got {found}")
    return found


def _draw(mixer: LinearMix | CirculantMix | ToeplitzMix) -> None:
    """Draw the kernels, whose matrices sum as many of their elements as the axis is long."""
    seq_std = hidden_std = PAPER_STD
    if not isinstance(mixer.gain, str):
        seq_std, hidden_std = abs(mixer.gain) * mixer.seq_len**-0.5, mixer.hidden_size**-0.5
    nn.init.normal_(mixer.seq_kernel, std=seq_std)
    nn.init.normal_(mixer.hidden_kernel, std=hidden_std)


def _lecun_normal(n: int, chance: torch.Generator | None) -> Tensor:
    """A random n x n matrix on the CPU, so that a seed means the same for every device."""
    return lecun_normal_(torch.empty(n, n, device="cpu", dtype=torch.float32), chance)


def _toeplitz_product(t: Tensor, x: Tensor) -> Tensor:
    """`T @ x` along the axis before the last, for T[r, c] = t[n - 1 + c - r]."""
    n = x.size(-2)
    if n <= _LONGEST_MATMUL:
        return t.unfold(0, n, 1).flip(0) @ x  # row r is t[n - 1 - r : 2 n - 1 - r]
    # Elements n - 1 to 2 n - 2 of the convolution with the reversed t. In a circular convolution
    # of at least 2 n - 1 elements, wrapping reaches only those up to n - 2. A graph, whose n may be
    # a symbol, is not searched for.
    size = 2 * n if is_compiling() else _fast_length(2 * n - 1)
    spectrum = fft.rfft(compute(x), size, dim=-2) * fft.rfft(compute(t.flip(0)), size)[:, None]
    y: Tensor = fft.irfft(spectrum, size, dim=-2)
    return y.narrow(-2, n - 1, n).to(_product_dtype(x))


def _fast_length(least: int) -> int:
    """The smallest product of 2, 3 and 5 that is at least `least`, for which FFTs are fast."""
    return min(k << (-(-least // k) - 1).bit_length() for k in _POWERS)


def _product_dtype(x: Tensor) -> torch.dtype:
    """The dtype of a matrix product with x, which autocast makes one of 16 bits."""
    if autocasting(x) and x.dtype is not torch.float64:
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype
