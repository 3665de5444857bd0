"""Flax's default initialisation, which the authors' code uses where it names no other.

defines: lecun_normal_
"""

from __future__ import annotations

from torch import Generator, Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

#: Standard deviation of the standard normal distribution truncated to [-2, 2].
_TRUNCATED_STD = 0.8796256610342398


def lecun_normal_(matrix: Tensor, generator: Generator | None = None) -> Tensor:
    """Fill a square matrix from a truncated normal distribution of variance 1 / length.

    A product with it keeps the variance of white noise, in expectation.
    """
    if isinstance(matrix, FakeTensor):  # trunc_normal_ reads the values that it draws
        return matrix
    std = matrix.size(-1) ** -0.5 / _TRUNCATED_STD
    return nn.init.trunc_normal_(matrix, std=std, a=-2 * std, b=2 * std, generator=generator)
