from __future__ import annotations

from collections.abc import Callable

import pytest
import scipy.linalg
import torch

import fnet_kernels as fk
from fnet_kernels.mixers import create_mixer
from fnet_kernels.mixers.hadamard import hadamard_matrix
from python_tests.helpers.fixed_mixers import hadamard

LIKE = torch.zeros((), dtype=torch.float64)
ORDERS = sorted(base * 2**k for base in (1, 12, 20) for k in range(12) if base * 2**k <= 1024)


@pytest.mark.parametrize("n", ORDERS)
def test_the_matrix_is_symmetric_and_orthogonal(n: int) -> None:
    h = hadamard_matrix(n, LIKE)
    assert (h.abs() == 1).all()
    assert (h[0] == 1).all()
    assert torch.equal(h, h.T)
    assert torch.equal(h @ h, n * torch.eye(n, dtype=torch.float64))
    assert torch.equal(h, torch.from_numpy(hadamard(n)))


@pytest.mark.parametrize("k", range(10))
def test_powers_of_two_are_those_of_scipy(k: int) -> None:
    expected = torch.from_numpy(scipy.linalg.hadamard(2**k, dtype=float))
    assert torch.equal(hadamard_matrix(2**k, LIKE), expected)


def test_at_gain_1_it_is_its_own_inverse() -> None:
    mixer = create_mixer("hadamard", 768, gain=1.0)
    x = torch.randn(2, 640, 768, dtype=torch.float64)
    torch.testing.assert_close(mixer(mixer(x)), x, rtol=0, atol=1e-13)
    assert not torch.allclose(mixer(x), x)


MAKERS: dict[str, Callable[[int], object]] = {
    "hidden_size": lambda n: create_mixer("hadamard", n),
    "seq_len": lambda n: create_mixer("hadamard", 8, seq_len=n),
    "the sequence length of x": lambda n: create_mixer("hadamard", 8)(torch.ones(2, n, 8)),
}


@pytest.mark.parametrize("argument", MAKERS)
def test_other_lengths_name_the_nearest(argument: str) -> None:
    for n in range(1, 200):
        if n in ORDERS:
            MAKERS[argument](n)
            continue
        below = max(order for order in ORDERS if order < n)
        above = min(order for order in ORDERS if order > n)
        with pytest.raises(
            ValueError, match=f"^hadamard: {argument} .*got {n}, .* are {below} and {above}$"
        ):
            MAKERS[argument](n)


def test_an_encoder_says_so_too() -> None:
    with pytest.raises(ValueError, match=r"hidden_size must be .*got 60, .* 48 and 64"):
        fk.FNetEncoder(2, 60, 240, mixer="hadamard")
