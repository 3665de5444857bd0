"""The mixers without parameters: definition, gradient, gain, dtypes, compilation, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import fnet_kernels as fk
from fnet_kernels.mixers import create_mixer
from fnet_kernels.mixers.fixed import FixedMixer
from python_tests.helpers.close import assert_close, tolerance
from python_tests.helpers.fixed_mixers import DEFINITIONS, defined, matrix

NAMES = sorted(DEFINITIONS)
OWN = [name for name in NAMES if name != "fourier"]
ORTHONORMAL = [name for name in NAMES if not name.startswith("fourier")]
#: (seq, hidden): even and odd, a prime, powers of two, lengths 1.
SIZES = [(12, 8), (8, 12), (7, 9), (6, 5), (9, 10), (16, 64), (96, 40), (1, 2), (2, 1), (1, 1)]
HADAMARD_SIZES = [(12, 8), (8, 12), (20, 24), (16, 64), (96, 40), (1, 2), (2, 1), (1, 1)]
ANY = (12, 8)


def sizes(name: str) -> list[tuple[int, int]]:
    """The sizes that a mixer is tested at."""
    return HADAMARD_SIZES if name == "hadamard" else SIZES


CASES = [(name, *size) for name in NAMES for size in sizes(name)]


def paper_gain(name: str, x: Tensor) -> float:
    seq, hidden = x.shape[-2:]
    points = {"none": 1, "fourier_seq": seq}.get(name, seq * hidden)
    return points**0.5


@pytest.mark.parametrize(("name", "seq", "hidden"), CASES)
def test_matches_its_definition(name: str, seq: int, hidden: int) -> None:
    x = torch.randn(3, seq, hidden, dtype=torch.float64)
    mixed = create_mixer(name, hidden, seq)(x)
    expected = defined(name, x, paper_gain(name, x))
    assert_close(mixed, expected)
    assert_close(create_mixer(name, hidden, gain=-0.3)(x), defined(name, x, -0.3))
    wrong = mixed.clone()
    wrong[-1, -1, -1] += 1e-13 * expected.abs().max()
    with pytest.raises(AssertionError, match="relative error"):
        assert_close(wrong, expected)


@pytest.mark.parametrize(("name", "seq", "hidden"), [c for c in CASES if c[1] * c[2] <= 500])
def test_the_gradient_is_the_adjoint(name: str, seq: int, hidden: int) -> None:
    x = torch.randn(seq, hidden, dtype=torch.float64, requires_grad=True)
    g = torch.randn(seq, hidden, dtype=torch.float64)
    (grad,) = torch.autograd.grad(create_mixer(name, hidden, gain=1.0)(x), x, g)
    assert_close(grad, (matrix(name, seq, hidden).T @ g.flatten()).reshape(seq, hidden))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_first_and_second_order(name: str) -> None:
    mixer = create_mixer(name, ANY[1])
    x = torch.randn(2, *ANY, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mixer, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: mixer(x).square(), x, fast_mode=True)


@pytest.mark.parametrize("name", ORTHONORMAL)
def test_gain_multiplies_the_norm(name: str) -> None:
    for seq, hidden in sizes(name):
        x = torch.randn(2, seq, hidden, dtype=torch.float64)
        for gain in (1, 2.5):
            norm = create_mixer(name, hidden, gain=gain)(x).norm()
            assert abs(norm / (gain * x.norm()) - 1) < 1e-14


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_dtypes(name: str, dtype: torch.dtype) -> None:
    for seq, hidden in sizes(name):
        x = torch.randn(2, seq, hidden).to(dtype).requires_grad_()
        g = torch.randn(2, seq, hidden).to(dtype)
        mixer = create_mixer(name, hidden)
        mixed = mixer(x)
        (grad,) = torch.autograd.grad(mixed, x, g)
        assert mixed.dtype == grad.dtype == dtype
        wide = x.detach().double().requires_grad_()
        exact = mixer(wide)
        (exact_grad,) = torch.autograd.grad(exact, wide, g.double())
        for actual, expected in ((mixed, exact), (grad, exact_grad)):
            # Rounded once: half a unit in the last place of each element.
            error = (actual.double() - expected).abs()
            allowed = (torch.finfo(dtype).eps / 2 + 1e-6) * expected.abs()
            assert (error <= allowed + 1e-6 * expected.abs().max()).all()


@pytest.mark.parametrize("name", NAMES)
def test_axes_strides_and_empty_inputs(name: str) -> None:
    seq, hidden = ANY
    mixer = create_mixer(name, hidden, gain=1.0)
    x = torch.randn(2, 3, seq, hidden)
    expected = mixer(x)
    assert torch.equal(mixer(x.unsqueeze(0))[0], expected)
    for strided in (x, x.mT.contiguous().mT, x.repeat(1, 1, 2, 2)[..., :seq, :hidden]):
        assert_close(mixer(strided), expected)
        assert mixer(strided).is_contiguous()
    assert_close(mixer(x[1, 2]), expected[1, 2])
    assert_close(torch.vmap(mixer)(x), expected)
    assert_close(mixer(x[:, :1].expand(2, 3, seq, hidden))[:, 2], expected[:, 0])
    for empty in ((0, seq, hidden), (2, 0, hidden)):
        assert mixer(torch.empty(empty)).shape == empty
    assert mixer(torch.empty(2, seq, hidden, device="meta")).shape == (2, seq, hidden)


@pytest.mark.parametrize("name", OWN)
def test_does_not_write_or_return_its_input(name: str) -> None:
    x = torch.randn(2, *ANY)
    before = x.clone()
    create_mixer(name, ANY[1], gain=1.0)(x).zero_()
    assert torch.equal(x, before)


#: db2 to db4 differ from haar in the number of taps alone, and each costs seconds to trace.
TRACED = [(name, False) for name in NAMES] + [
    (name, True) for name in NAMES if not name.startswith("db")
]


@pytest.mark.parametrize(("name", "dynamic"), TRACED)
def test_compiles_to_one_graph(name: str, dynamic: bool) -> None:
    torch.compiler.reset()
    mixer = create_mixer(name, 12)
    compiled = torch.compile(mixer, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    x, g = torch.randn(2, 4, 12, requires_grad=True), torch.randn(2, 4, 12)
    mixed, expected = compiled(x), mixer(x)
    assert_close(mixed, expected)
    assert_close(*(torch.autograd.grad(y, x, g)[0] for y in (mixed, expected)))


@pytest.mark.parametrize("name", NAMES)
def test_autocast_computes_and_answers_in_float32(name: str) -> None:
    x = torch.randn(2, *ANY)
    mixer = create_mixer(name, ANY[1])
    with torch.autocast("cpu", torch.bfloat16):
        single, half = mixer(x), mixer(x.bfloat16())
    assert single.dtype == half.dtype == torch.float32
    assert torch.equal(single, mixer(x))
    assert torch.equal(half, mixer(x.bfloat16().float()))


@pytest.mark.parametrize("name", NAMES)
def test_has_no_state_and_copies(name: str) -> None:
    mixer = create_mixer(name, ANY[1], gain=0.5)
    assert not mixer.state_dict()
    x = torch.randn(2, *ANY)
    for copied in (copy.deepcopy(mixer), pickle.loads(pickle.dumps(mixer))):
        assert torch.equal(copied(x), mixer(x))
        assert repr(copied) == repr(mixer)


@pytest.mark.parametrize("name", NAMES)
def test_mixes_in_an_encoder_layer(name: str) -> None:
    seq, hidden = ANY
    layer = fk.FNetEncoderLayer(hidden, 16, mixer=name, dropout=0.0, dtype=torch.float64)
    x = torch.randn(2, seq, hidden, dtype=torch.float64)
    h = layer.fourier.output.LayerNorm(x + defined(name, x, paper_gain(name, x)))
    assert_close(layer.fourier(x), h, factor=10)
    assert list(layer.state_dict()) == list(fk.FNetEncoderLayer(hidden, 16).state_dict())
    with torch.device("meta"):
        fk.FNetEncoderLayer(hidden, 16, mixer=name)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0], TypeError, "x must be a torch.Tensor, got list"),
        (torch.ones(12, 8, dtype=torch.int64), TypeError, "dtypes .*got torch.int64"),
        (torch.ones(8), ValueError, r"at least two axes, .*got shape \(8,\)"),
        (torch.ones(2, 12, 9), ValueError, r"shape \[..., seq, 8\]; got shape \(2, 12, 9\)"),
        (torch.ones(12, 8).to_sparse(), TypeError, "dense"),
    ],
)
def test_bad_inputs_are_errors(name: str, x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{name}: .*{message}"):
        create_mixer(name, ANY[1])(x)


def test_a_transform_is_needed() -> None:
    class Nothing(FixedMixer):
        name = "nothing"

    with pytest.raises(NotImplementedError):
        Nothing(8)(torch.ones(12, 8))
    assert tolerance(torch.float64) == 1e-14  # which the perturbation above exceeds tenfold
