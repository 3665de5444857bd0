from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor

from fnet_kernels.mixers import create_mixer
from fnet_kernels.mixers.wavelet import LOW_PASS, wavelet
from python_tests.helpers.close import assert_close
from python_tests.helpers.fixed_mixers import wavelet_1d

#: Shorter than the filters, odd, odd after some levels, powers of two.
LENGTHS = [1, 2, 3, 4, 6, 7, 8, 12, 20, 40, 64, 96]


def basis(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64)


@pytest.mark.parametrize("name", LOW_PASS)
def test_filters_are_those_of_daubechies(name: str) -> None:
    taps = np.array(LOW_PASS[name])
    moments = len(taps) // 2
    signs = (-1.0) ** np.arange(len(taps))
    for moment in range(moments):
        powers = np.arange(len(taps), dtype=float) ** moment
        assert abs(signs * powers @ taps) < 1e-12
        shifted = taps[: len(taps) - 2 * moment] @ taps[2 * moment :]
        assert abs(shifted - (moment == 0)) < 1e-15
    assert taps.sum() == pytest.approx(2**0.5, rel=1e-15)
    assert pywt.Wavelet(name).rec_lo == pytest.approx(taps, rel=1e-15)


@pytest.mark.parametrize("name", LOW_PASS)
@pytest.mark.parametrize("dim", [-1, -2])
@pytest.mark.parametrize("n", LENGTHS)
def test_one_axis_is_that_of_pywavelets(name: str, dim: int, n: int) -> None:
    shape = (2, 5, n) if dim == -1 else (2, n, 5)
    x = torch.randn(shape, dtype=torch.float64)
    expected = torch.from_numpy(wavelet_1d(name, x.numpy(), dim))
    assert_close(wavelet(x, dim, LOW_PASS[name]), expected)


@pytest.mark.parametrize("name", LOW_PASS)
@pytest.mark.parametrize("n", LENGTHS)
def test_the_matrix_is_orthogonal(name: str, n: int) -> None:
    rows = wavelet(basis(n), -1, LOW_PASS[name])
    torch.testing.assert_close(rows @ rows.T, basis(n), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", LOW_PASS)
def test_an_odd_length_is_not_mixed(name: str) -> None:
    x = torch.randn(2, 7, 9)
    assert torch.equal(create_mixer(name, 9, gain=1.0)(x), x)
    mixed = create_mixer(name, 8, gain=1.0)(torch.randn(1, 7, 8))
    assert mixed.shape == (1, 7, 8)


@pytest.mark.parametrize("name", LOW_PASS)
@pytest.mark.parametrize(("n", "averages"), [(16, 1), (24, 3), (10, 5)])
def test_a_constant_becomes_its_averages(name: str, n: int, averages: int) -> None:
    constant = torch.ones(n, dtype=torch.float64)
    expected = torch.zeros(n, dtype=torch.float64)
    expected[:averages] = (n / averages) ** 0.5
    torch.testing.assert_close(wavelet(constant, -1, LOW_PASS[name]), expected, rtol=0, atol=1e-14)


def test_repr_names_the_wavelet() -> None:
    assert repr(create_mixer("db2", 8, gain=0.5)) == "Wavelet('db2', 8, gain=0.5)"
