"""The learned filter against the matrices of its definition, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import pywt
import scipy.fft
import scipy.linalg
import torch
from torch import Tensor, nn

from fnet_kernels.mixers import create_mixer
from python_tests.helpers.close import assert_close, relative_error, tolerance

pytestmark = pytest.mark.usefixtures("one_thread")

BASES = ("fourier", "dct", "haar")


@pytest.fixture(params=BASES)
def basis(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(basis: str, seq: int, hidden: int = 3, **arguments: Any) -> nn.Module:
    return create_mixer("filter", hidden, seq, basis=basis, **arguments).double()


def transform(basis: str, n: int) -> np.ndarray:
    """The matrix of a real transform of n samples."""
    if basis == "dct":
        return scipy.fft.dct(np.eye(n), axis=0, norm="ortho")
    depth = (n & -n).bit_length() - 1  # the largest power of two that divides n
    coefficients = pywt.wavedec(np.eye(n), "haar", mode="periodization", level=depth, axis=0)
    return np.concatenate(coefficients)


def matrices(mixer: nn.Module) -> Tensor:
    """The matrix that each channel is multiplied by, [hidden, seq, seq]."""
    n = mixer.seq_len
    kernel = mixer.seq_kernel.detach().numpy()
    if mixer.basis != "fourier":
        basis = transform(mixer.basis, n)
        assert_close(torch.from_numpy(basis @ basis.T), torch.eye(n, dtype=torch.float64))
        return torch.from_numpy(np.stack([basis.T @ np.diag(c) @ basis for c in kernel.T]))
    half = kernel[..., 0] + 1j * kernel[..., 1]
    half[0] = half[0].real
    if n % 2 == 0:
        half[-1] = half[-1].real
    # The whole spectrum of a real signal: frequency n - k is the conjugate of k.
    whole = np.concatenate([half, half[1 : (n + 1) // 2][::-1].conj()])
    basis = scipy.linalg.dft(n, scale="sqrtn")
    made = [basis.conj().T @ np.diag(channel) @ basis for channel in whole.T]
    assert np.abs(np.imag(made)).max() < 1e-14
    return torch.from_numpy(np.real(made))


@pytest.mark.parametrize("seq", [1, 2, 7, 8, 12])
def test_definition(basis: str, seq: int) -> None:
    mixer = make(basis, seq)
    expected = matrices(mixer)
    x = torch.randn(2, 2, seq, 3, dtype=torch.float64)
    along = torch.einsum("dij,abjd->abid", expected, x)
    assert_close(mixer(x), along)
    assert mixer(x).is_contiguous()
    assert_close(mixer(x[0, 0]), along[0, 0])
    wrong = expected.roll(1, 1) if seq > 1 else -expected
    assert relative_error(mixer(x), torch.einsum("dij,abjd->abid", wrong, x)) > 0.1


@pytest.mark.parametrize("seq", [4, 5])
def test_gradients(basis: str, seq: int) -> None:
    mixer = make(basis, seq, gain=1.0)
    x = torch.randn(2, seq, 3, dtype=torch.float64, requires_grad=True)
    leaves = (x, mixer.seq_kernel)
    assert torch.autograd.gradcheck(lambda *_: mixer(x), leaves)
    assert torch.autograd.gradgradcheck(lambda *_: mixer(x), leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtypes(basis: str, dtype: torch.dtype) -> None:
    mixer = create_mixer("filter", 16, 24, basis=basis, gain=1.0).to(dtype)
    exact = make(basis, 24, 16)
    exact.load_state_dict(mixer.state_dict())
    x = torch.randn(2, 24, 16).to(dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    y = mixer(x)
    assert y.dtype is dtype
    assert_close(y, exact(wide))
    grad = torch.randn(2, 24, 16).to(dtype)
    found = torch.autograd.grad(y, (x, mixer.seq_kernel), grad)
    expected = torch.autograd.grad(exact(wide), (wide, exact.seq_kernel), grad.double())
    for narrow, reference in zip(found, expected, strict=True):
        assert narrow.dtype is dtype
        assert_close(narrow, reference)


def test_autocast(basis: str) -> None:
    mixer = create_mixer("filter", 6, 8, basis=basis)
    x = torch.randn(2, 8, 6)
    expected = mixer(x)
    for given in (x, x.bfloat16()):
        with torch.autocast("cpu", torch.bfloat16):
            y = mixer(given)
        assert relative_error(y, expected) < 2 * tolerance(torch.bfloat16)


def test_compiles_without_graph_breaks(basis: str) -> None:
    torch.compiler.reset()
    mixer = make(basis, 8)
    compiled = torch.compile(mixer, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    assert_close(compiled(x), mixer(x))
    found, expected = (torch.autograd.grad(m(x).square().sum(), x)[0] for m in (compiled, mixer))
    assert_close(found, expected, factor=10)


@pytest.mark.parametrize("seq", [1, 2, 7, 48])
@pytest.mark.parametrize("gain", [0.5, -2.0])
def test_a_number_is_the_gain_of_white_noise(basis: str, seq: int, gain: float) -> None:
    squares = []
    for seed in range(20):
        torch.manual_seed(seed)
        mixer = create_mixer("filter", 200, seq, basis=basis, gain=gain)
        squares.append(mixer(torch.randn(4, seq, 200)).square().mean().item())
    assert math.sqrt(np.mean(squares)) == pytest.approx(abs(gain), rel=0.05)


def test_paper_is_the_published_initialisation(basis: str) -> None:
    kernel = create_mixer("filter", 64, 256, basis=basis).seq_kernel
    assert kernel.std().item() == pytest.approx(0.02, rel=0.05)
    assert abs(kernel.mean().item()) < 0.001


def test_made_on_the_meta_device(basis: str) -> None:
    real = create_mixer("filter", 6, 8, basis=basis)
    with torch.device("meta"):
        mixer = create_mixer("filter", 6, 8, basis=basis)
    mixer.load_state_dict(real.state_dict(), assign=True)
    x = torch.randn(8, 6)
    assert torch.equal(mixer(x), real(x))


def test_an_empty_batch(basis: str) -> None:
    mixer = create_mixer("filter", 6, 8, basis=basis)
    assert mixer(torch.randn(0, 8, 6)).shape == (0, 8, 6)


def test_errors(basis: str) -> None:
    with pytest.raises(ValueError, match="filter: seq_len must be an int, got None"):
        create_mixer("filter", 6, basis=basis)
    mixer = create_mixer("filter", 6, 8, basis=basis)
    for length in (7, 9):
        with pytest.raises(ValueError, match=f"x must have exactly seq_len=8 tokens; got {length}"):
            mixer(torch.randn(2, length, 6))
    with pytest.raises(ValueError, match=r"filter: x must have shape \[..., seq, 6\]; got"):
        mixer(torch.randn(8, 5))


def test_bad_bases() -> None:
    with pytest.raises(ValueError, match=r"filter: basis must be one of 'fourier'.*; got 'db9'"):
        create_mixer("filter", 6, 8, basis="db9")
    with pytest.raises(TypeError, match="filter: basis must be a str, got int"):
        create_mixer("filter", 6, 8, basis=3)
