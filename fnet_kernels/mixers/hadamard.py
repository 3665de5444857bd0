"""The Hadamard transform as a mixer.

defines: hadamard, hadamard_matrix
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from fnet_kernels.mixers.fixed import FixedMixer
from fnet_kernels.mixers.gain import Gain
from fnet_kernels.mixers.registry import register_mixer

#: By odd part of an order: the order of Paley's factor, which is a prime 4 j + 3 plus 1, or 1.
_PALEY = {1: 1, 3: 12, 5: 20}


def hadamard(u: Tensor, dim: int) -> Tensor:
    """The orthonormal Hadamard transform of `u`, float32 or float64, along `dim`, -1 or -2.

    The matrix of order n = a b is the Kronecker product of those of orders a and b, both about
    sqrt(n), so that two matrix products with a + b terms replace one with n.
    """
    shape, n = u.shape, int(u.size(dim))  # a graph is of one length
    b = _PALEY[_odd_part(n)]
    while b * b < n:
        b *= 2
    left = hadamard_matrix(n // b, u) * float(n**-0.5)
    right = hadamard_matrix(b, u)
    u = torch.unflatten(u, dim, (n // b, b))
    if dim == -1:
        return (left @ (u @ right)).reshape(shape)
    # One product with rows of b * hidden elements: five times as fast at 16,384 as many with b.
    return (left @ (right @ u).flatten(-2)).reshape(shape)


def hadamard_matrix(n: int, like: Tensor) -> Tensor:
    """The symmetric H of elements 1 and -1 with H H = n I, Sylvester's (x) Paley's.

    Its device and dtype are those of `like`. For powers of two it is `scipy.linalg.hadamard(n)`.
    """
    paley = _PALEY[_odd_part(n)]
    return torch.kron(_sylvester(n // paley, like), _paley(paley, like))


def _sylvester(n: int, like: Tensor) -> Tensor:
    """Element (i, j) is -1 to the number of binary digits that are 1 in both i and j."""
    places = 2 ** torch.arange(n.bit_length() - 1, device=like.device)
    ones = (torch.arange(n, device=like.device)[:, None] // places % 2).to(like.dtype)
    return 1 - 2 * ((ones @ ones.T) % 2)


def _paley(n: int, like: Tensor) -> Tensor:
    """Paley's first construction ("On orthogonal matrices", 1933) of order n = q + 1; 1 for n = 1.

    Its core is the Legendre symbol of i - j modulo q, plus the identity. Of i + j instead, rows are
    permuted and the matrix is symmetric.
    """
    if n == 1:
        return like.new_ones(1, 1)
    q = n - 1
    i = torch.arange(q, device=like.device)
    # Euler's criterion: s^((q - 1) / 2) is 1, or q - 1 if s is no square.
    legendre = (i[:, None] + i).remainder(q).pow(q // 2).remainder(q)
    core = 2 * (legendre == q - 1).to(like.dtype) - 1
    return pad(core, (1, 0, 1, 0), value=1.0)


@register_mixer("hadamard")
class Hadamard(FixedMixer):
    """The Hadamard transform along both axes, an ablation of FNet (arXiv 2105.03824).

    Lengths are 2^k, 12 * 2^k and 20 * 2^k. It is its own adjoint, and at gain 1 its own inverse.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    >>> create_mixer("hadamard", hidden_size=2)(x).round(decimals=3)
    tensor([[11., -3.],
            [-5.,  1.]])
    """

    name = "hadamard"

    def __init__(
        self, hidden_size: int, seq_len: int | None = None, *, gain: Gain = "paper"
    ) -> None:
        super().__init__(hidden_size, seq_len, gain=gain)
        _check_order("hidden_size", hidden_size)
        if seq_len is not None:
            _check_order("seq_len", seq_len)

    def transform(self, u: Tensor, gain: float) -> Tensor:
        _check_order("the sequence length of x", int(u.size(-2)))
        return hadamard(hadamard(u, -2), -1) * gain


def _odd_part(n: int) -> int:
    return n // (n & -n)


def _exists(n: int) -> bool:
    odd = _odd_part(n)
    return odd in _PALEY and n % _PALEY[odd] == 0


def _check_order(argument: str, n: int) -> None:
    if _exists(n):
        return
    below = next(m for m in range(n, 0, -1) if _exists(m))
    above = next(m for m in range(n, 2 * n) if _exists(m))
    raise ValueError(
        f"hadamard: {argument} must be 2^k, 12 * 2^k or 20 * 2^k; got {n}, the nearest are {below}"
        f" and {above}"
    )
