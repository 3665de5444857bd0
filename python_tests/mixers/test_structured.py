"""Linear, random, circulant and Toeplitz mixing against dense matrices, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch
from torch import Tensor, nn

from fnet_kernels.mixers import create_mixer, structured
from python_tests.helpers.close import assert_close, relative_error, tolerance

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ("linear", "random", "circulant", "toeplitz")
SIZES = [(8, 6), (9, 6), (8, 7), (9, 7), (1, 1), (1, 5), (2, 1)]  # seq, hidden


def make(name: str, seq: int, hidden: int, **arguments: Any) -> nn.Module:
    return create_mixer(name, hidden, seq, **arguments).double()


def matrices(name: str, mixer: nn.Module) -> tuple[Tensor, Tensor]:
    """The matrices S, H of the definition S @ x @ H."""
    s, h = (k.detach().numpy() for k in (mixer.seq_kernel, mixer.hidden_kernel))
    if name == "circulant":
        s, h = scipy.linalg.circulant(s), scipy.linalg.circulant(h).T
    elif name == "toeplitz":
        s, h = _toeplitz(s), _toeplitz(h).T
    return torch.from_numpy(s.copy()), torch.from_numpy(h.copy())


def _toeplitz(t: np.ndarray) -> np.ndarray:
    n = (len(t) + 1) // 2
    return scipy.linalg.toeplitz(t[n - 1 :: -1], t[n - 1 :])


@pytest.fixture(params=[*NAMES, "toeplitz by the FFT"])
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of each mixer; Toeplitz products by matrices, then by the FFT."""
    name, _, path = request.param.partition(" by ")
    if path:
        monkeypatch.setattr(structured, "_LONGEST_MATMUL", 0)
    return str(name)


@pytest.mark.parametrize(("seq", "hidden"), SIZES)
def test_definition(name: str, seq: int, hidden: int) -> None:
    mixer = make(name, seq, hidden)
    s, h = matrices(name, mixer)
    x = torch.randn(2, 3, seq, hidden, dtype=torch.float64)
    assert_close(mixer(x), s @ x @ h)
    assert mixer(x).is_contiguous()
    if seq > 2 and hidden > 2:
        assert relative_error(mixer(x), s.mT @ x @ h) > 0.1, "this test sees a transposed matrix"
        assert relative_error(mixer(x), s @ x @ h.mT) > 0.1
    assert_close(mixer(x[0, 0]), s @ x[0, 0] @ h)


def test_shorter_sequences_use_the_leading_block(name: str) -> None:
    mixer = make(name, 9, 6)
    s, h = matrices(name, mixer)
    for n in (1, 2, 8):
        x = torch.randn(2, n, 6, dtype=torch.float64)
        if name == "circulant":
            with pytest.raises(ValueError, match=f"x must have exactly seq_len=9 tokens; got {n}"):
                mixer(x)
            continue
        assert_close(mixer(x), s[:n, :n] @ x @ h)


@pytest.mark.parametrize(("seq", "hidden"), [(4, 3), (3, 2)])
def test_gradients(name: str, seq: int, hidden: int) -> None:
    mixer = make(name, seq, hidden, gain=1.0)
    x = torch.randn(2, seq, hidden, dtype=torch.float64, requires_grad=True)
    leaves = (x, *mixer.parameters())
    assert len(leaves) == (1 if name == "random" else 3)
    assert torch.autograd.gradcheck(lambda *_: mixer(x), leaves)
    assert torch.autograd.gradgradcheck(lambda *_: mixer(x), leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtypes(name: str, dtype: torch.dtype) -> None:
    mixer = create_mixer(name, 16, 24, gain=1.0).to(dtype)
    x = torch.randn(2, 24, 16).to(dtype).requires_grad_()
    y = mixer(x)
    assert y.dtype is dtype
    exact = create_mixer(name, 16, 24).double()
    exact.load_state_dict(mixer.state_dict())
    wide = x.detach().double().requires_grad_()
    # The first product is rounded to the dtype too.
    assert_close(y, exact(wide), factor=2)
    y.float().square().sum().backward()
    exact(wide).square().sum().backward()
    for narrow, reference in zip(
        (x, *mixer.parameters()), (wide, *exact.parameters()), strict=True
    ):
        assert narrow.grad is not None
        assert narrow.grad.dtype is dtype
        assert reference.grad is not None
        assert_close(narrow.grad, reference.grad, factor=4)


def test_circulant_rounds_16_bits_once() -> None:
    mixer = create_mixer("circulant", 16, 24, gain=1.0).bfloat16()
    x = torch.randn(2, 24, 16).bfloat16()
    exact = create_mixer("circulant", 16, 24).double()
    exact.load_state_dict(mixer.state_dict())
    rounding = relative_error(exact(x.double()).bfloat16(), exact(x.double()))
    assert relative_error(mixer(x), exact(x.double())) <= 1.01 * rounding


def test_compiles_without_graph_breaks(name: str) -> None:
    torch.compiler.reset()
    mixer = make(name, 9, 6)
    compiled = torch.compile(mixer, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 9, 6, dtype=torch.float64, requires_grad=True)
    assert_close(compiled(x), mixer(x))
    found, expected = (torch.autograd.grad(m(x).square().sum(), x)[0] for m in (compiled, mixer))
    assert_close(found, expected, factor=10)


@pytest.mark.parametrize("gain", [0.5, 1.0, -2.0])
def test_a_number_is_the_gain_of_white_noise(name: str, gain: float) -> None:
    squares = []
    for seed in range(20):
        torch.manual_seed(seed)
        mixer = create_mixer(name, 40, 48, gain=gain)
        squares.append(mixer(torch.randn(4, 48, 40)).square().mean().item())
    assert math.sqrt(np.mean(squares)) == pytest.approx(abs(gain), rel=0.1)


def test_paper_is_the_published_initialisation(name: str) -> None:
    mixer = create_mixer(name, 900, 1200)
    for kernel, length in ((mixer.seq_kernel, 1200), (mixer.hidden_kernel, 900)):
        expected = length**-0.5 if name == "random" else 0.02
        assert kernel.std().item() == pytest.approx(expected, rel=0.1)
        assert abs(kernel.mean().item()) < 0.1 * expected
        assert kernel.is_leaf
        assert kernel.requires_grad == (name != "random")
    if name == "random":  # truncated at two standard deviations of the normal distribution
        assert 2.2 < mixer.seq_kernel.abs().max().item() * math.sqrt(1200) < 2.2737


def test_gain_zero_can_be_learned() -> None:
    for name in ("linear", "circulant", "toeplitz"):
        mixer = create_mixer(name, 6, 9, gain=0.0)
        y = mixer(torch.randn(2, 9, 6))
        assert not y.any()
        y.sum().backward()
        assert mixer.seq_kernel.grad.any()


def test_random_matrices_follow_the_seed() -> None:
    first, again, other = (create_mixer("random", 6, 9, seed=seed) for seed in (3, 3, 4))
    x = torch.randn(9, 6)
    assert torch.equal(first(x), again(x))
    assert not torch.allclose(first(x), other(x))
    assert not torch.allclose(create_mixer("random", 6, 9)(x), create_mixer("random", 6, 9)(x))
    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    create_mixer("random", 6, 9, seed=3)
    assert torch.equal(torch.rand(1), before), "a seed leaves torch's generator alone"


def test_a_seed_gives_the_same_matrices_in_every_default_dtype() -> None:
    single = create_mixer("random", 6, 9, seed=3)
    torch.set_default_dtype(torch.float64)
    try:
        double = create_mixer("random", 6, 9, seed=3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert double.seq_kernel.dtype is torch.float64
    for name, matrix in single.named_buffers():
        assert torch.equal(double.get_buffer(name), matrix.double())


def test_the_gain_of_random_matrices_is_not_saved() -> None:
    """As that of transforms: a state serves every gain."""
    loud, quiet = (create_mixer("random", 6, 8, gain=gain) for gain in (2.0, 0.5))
    quiet.load_state_dict(loud.state_dict())
    x = torch.randn(8, 6)
    assert_close(loud(x), 4.0 * quiet(x))


def test_lengths_of_ffts_are_those_of_scipy() -> None:
    for least in (*range(1, 700), 2049, 8197, 131071):
        assert structured._fast_length(least) == scipy.fft.next_fast_len(least, real=True)


def test_float64_is_refused_under_autocast_too() -> None:
    """Autocast casts no float64, so a product with float32 parameters fails inside torch."""
    x = torch.randn(8, 6, dtype=torch.float64)
    for name in (*NAMES, "attention"):
        mixer = create_mixer(name, 6, 8)
        for enabled in (False, True):
            with (
                torch.autocast("cpu", enabled=enabled),
                pytest.raises(TypeError, match=f"{name}: x must have the dtype of the parameters"),
            ):
                mixer(x)


def test_random_matrices_are_saved() -> None:
    saved, loaded = create_mixer("random", 6, 9), create_mixer("random", 6, 9)
    loaded.load_state_dict(saved.state_dict())
    x = torch.randn(9, 6)
    assert torch.equal(saved(x), loaded(x))


def test_made_on_the_meta_device(name: str) -> None:
    with torch.device("meta"):
        mixer = create_mixer(name, 6, 9)
    real = create_mixer(name, 6, 9)
    mixer.load_state_dict(real.state_dict(), assign=True)
    x = torch.randn(9, 6)
    assert torch.equal(mixer(x), real(x))
    with torch.device("meta"):
        emptied = create_mixer(name, 6, 9)
    emptied.to_empty(device="cpu").reset_parameters()
    assert emptied(x).any()
    assert emptied(x).isfinite().all()


def test_errors(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: seq_len must be an int, got None"):
        create_mixer(name, 6)
    mixer = create_mixer(name, 6, 9)
    count = "exactly" if name == "circulant" else "at most"
    with pytest.raises(ValueError, match=f"{name}: x must have {count} seq_len=9 .* got 10"):
        mixer(torch.randn(2, 10, 6))
    with pytest.raises(ValueError, match=rf"{name}: x must have shape \[..., seq, 6\]; got"):
        mixer(torch.randn(9, 5))
    with pytest.raises(ValueError, match=f"{name}: x must have at least two axes"):
        mixer(torch.randn(6))
    with pytest.raises(TypeError, match=rf"{name}: x must be a torch\.Tensor, got list"):
        mixer([[0.0]])
    with pytest.raises(TypeError, match=f"{name}: x must have the dtype .*float32; got .*bfloat16"):
        mixer(torch.randn(9, 6).bfloat16())


def test_empty_inputs(name: str) -> None:
    mixer = create_mixer(name, 6, 9)
    shapes = [(0, 9, 6)] if name == "circulant" else [(0, 9, 6), (2, 0, 6)]
    for shape in shapes:
        for half in (False, True):
            mixer.zero_grad()
            x = torch.randn(shape, requires_grad=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                y, other = mixer(x), mixer(torch.randn(9, 6))
            assert (y.shape, y.dtype) == (shape, other.dtype)
            y.sum().backward()
            for parameter in mixer.parameters():  # as other tensors give them: a graph of all
                assert parameter.grad is not None
                assert not parameter.grad.any()


@pytest.mark.parametrize("seq_len", [9, 1025])  # a product, and FFTs
def test_autocast_answers_toeplitz_in_16_bits(seq_len: int) -> None:
    mixer = create_mixer("toeplitz", 6, seq_len)
    with torch.autocast("cpu", torch.bfloat16):
        assert mixer(torch.randn(1, seq_len, 6)).dtype is torch.bfloat16
        swapped = create_mixer("toeplitz", seq_len, 6)
        assert swapped(torch.randn(1, 6, seq_len)).dtype is torch.bfloat16


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_bad_seeds(seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="random: seed must be"):
        create_mixer("random", 6, 9, seed=seed)


def test_autocast(name: str) -> None:
    mixer = create_mixer(name, 6, 9)
    x = torch.randn(2, 9, 6)
    expected = mixer(x)
    for given in (x, x.bfloat16()):
        with torch.autocast("cpu", torch.bfloat16):
            y = mixer(given)
        assert relative_error(y, expected) < 3 * tolerance(torch.bfloat16)
