"""The fixed mixers by their definitions, in float64: NumPy, SciPy and PyWavelets.

defines: DEFINITIONS, defined, hadamard, matrix, wavelet_1d
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pywt
import scipy.fft
import scipy.linalg
import torch
from torch import Tensor

from python_tests.helpers.definition import hartley

Array = np.ndarray


def _hartley(x: Array) -> Array:
    return hartley(x) / np.sqrt(x.shape[-2] * x.shape[-1])


def hadamard(n: int) -> Array:
    """Sylvester's matrix (x) Paley's of order 12 or 20, whose squares are listed."""
    q = {3: 11, 5: 19}.get(n // (n & -n))
    if q is None:
        return scipy.linalg.hadamard(n, dtype=float)
    squares = {i * i % q for i in range(q)}  # with 0, which adds the identity to Paley's core
    paley = np.ones((q + 1, q + 1))
    for i in range(q):
        for j in range(q):
            paley[1 + i, 1 + j] = -1 if (i + j) % q in squares else 1
    return np.kron(scipy.linalg.hadamard(n // (q + 1)), paley)


def _hadamard(x: Array) -> Array:
    seq, hidden = x.shape[-2:]
    return hadamard(seq) @ x @ hadamard(hidden) / np.sqrt(seq * hidden)


def wavelet_1d(name: str, x: Array, axis: int) -> Array:
    """All levels that halve an even length, the coarsest first."""
    n = x.shape[axis]
    level = (n & -n).bit_length() - 1
    with warnings.catch_warnings():
        # That a filter is longer than the averages: the definition wraps it around.
        warnings.filterwarnings("ignore", "Level value of .* is too high")
        parts = pywt.wavedec(x, name, mode="periodization", level=level, axis=axis)
    return np.concatenate(parts, axis)


def _wavelet(name: str) -> Callable[[Array], Array]:
    return lambda x: wavelet_1d(name, wavelet_1d(name, x, -1), -2)


#: By name: the orthonormal transform of the last two axes.
DEFINITIONS: dict[str, Callable[[Array], Array]] = {
    "fourier": lambda x: scipy.fft.fft2(x, norm="ortho").real,
    "fourier_seq": lambda x: scipy.fft.fft(x, axis=-2, norm="ortho").real,
    "hartley": _hartley,
    "dct": lambda x: scipy.fft.dctn(x, axes=(-2, -1), norm="ortho"),
    "hadamard": _hadamard,
    **{name: _wavelet(name) for name in ("haar", "db2", "db3", "db4")},
    "none": lambda x: x,
}


def defined(name: str, x: Tensor, gain: float = 1.0) -> Tensor:
    """`gain` times the definition of a mixer, in float64."""
    return gain * torch.from_numpy(DEFINITIONS[name](x.detach().double().numpy()))


def matrix(name: str, seq: int, hidden: int) -> Tensor:
    """The definition as a matrix of flattened inputs, [seq * hidden, seq * hidden]."""
    basis = torch.eye(seq * hidden, dtype=torch.float64).reshape(-1, seq, hidden)
    return defined(name, basis).reshape(seq * hidden, seq * hidden).T
