"""The registry: names, arguments and errors."""

from __future__ import annotations

import functools
import importlib
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fnet_kernels as fk
from fnet_kernels.mixers import (
    SelfAttention,
    create_mixer,
    list_mixers,
    register_mixer,
    registry,
    wavelet,
)
from fnet_kernels.models import FNetConfig, FNetModel
from python_tests.helpers.close import assert_close


@pytest.fixture(autouse=True)
def registry_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))


SEEDS = {"random": {"seed": 0}}


class Scaled(nn.Module):
    def __init__(
        self, hidden_size: int, seq_len: int | None = None, *, gain: Any, by: float = 1.0
    ) -> None:
        super().__init__()
        self.sizes = (hidden_size, seq_len, gain)
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.by * x


def test_a_registered_mixer_is_made_by_name() -> None:
    assert register_mixer("scaled")(Scaled) is Scaled
    assert "scaled" in list_mixers()
    assert list_mixers() == sorted(list_mixers())
    mixer = create_mixer("scaled", 6, 9, gain=0.5, by=3.0)
    assert isinstance(mixer, Scaled)
    assert (mixer.sizes, mixer.by) == ((6, 9, 0.5), 3.0)
    assert create_mixer("scaled", 6).sizes == (6, None, "paper")


def test_sizes_are_passed_as_ints() -> None:
    register_mixer("scaled")(Scaled)
    sizes = create_mixer("scaled", np.int64(6), np.int32(9)).sizes
    assert sizes == (6, 9, "paper")
    assert [type(size) for size in sizes] == [int, int, str]


def test_what_is_defined_again_takes_the_place() -> None:
    """As the cell of a notebook does that runs twice."""

    def define(factor: float) -> None:
        @register_mixer("again")
        class Again(Scaled):
            def __init__(self, hidden_size: int, seq_len: int | None = None) -> None:
                super().__init__(hidden_size, seq_len, gain=None, by=factor)

    for factor in (2.0, 3.0):
        define(factor)
        assert create_mixer("again", 6).by == factor
    with pytest.raises(ValueError, match="name must be one that is not taken, got 'again'"):
        register_mixer("again")(Scaled)


def test_the_mixers_of_a_reloaded_module_take_their_place() -> None:
    before = create_mixer("haar", 4)
    importlib.reload(wavelet)
    assert type(create_mixer("haar", 4)) is wavelet.Wavelet is not type(before)


def test_sizes_may_have_other_names() -> None:
    register_mixer("named")(lambda dim, length, *, by=1.0: Scaled(dim, length, gain=1, by=by))
    assert create_mixer("named", 6, 9, by=2.0).sizes == (6, 9, 1)
    for given in ("dim", "length"):
        with pytest.raises(TypeError, match=f"'named' has no argument '{given}'; it takes by"):
            create_mixer("named", 6, 9, **{given: 3})


def test_an_encoder_uses_it() -> None:
    register_mixer("scaled")(Scaled)
    layer = fk.FNetEncoderLayer(6, 8, mixer="scaled", seq_len=9, mixer_args={"by": 3.0})
    x = torch.randn(2, 9, 6)
    assert_close(layer.fourier(x), layer.fourier.output.LayerNorm(4 * x))


def test_functions_and_partials_are_factories() -> None:
    register_mixer("function")(lambda hidden_size, seq_len, **rest: nn.Identity())
    register_mixer("partial")(functools.partial(Scaled, by=5.0))
    assert isinstance(create_mixer("function", 6, whatever=1), nn.Identity)
    assert create_mixer("partial", 6).by == 5.0


def test_a_factory_may_have_no_gain() -> None:
    register_mixer("plain")(lambda hidden_size, seq_len=None: nn.Identity())
    encoder = fk.FNetEncoder(2, 6, 8, mixer=["plain", "fourier"], gain=2.0)
    assert isinstance(encoder[0].fourier.self, nn.Identity)
    assert encoder[1].fourier.self.scale == 2.0
    with pytest.raises(ValueError, match=r"create_mixer: gain must be 'paper' for 'plain', got 2"):
        create_mixer("plain", 6, gain=2.0)


@pytest.mark.parametrize("name", list_mixers())
def test_every_mixer_works_in_an_encoder_layer(name: str) -> None:
    layer = fk.FNetEncoderLayer(8, 16, mixer=name, seq_len=8)
    x = torch.randn(2, 8, 8, requires_grad=True)
    y = layer(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    for key, parameter in layer.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    narrow = layer.bfloat16()(x.detach().bfloat16())
    assert narrow.dtype is torch.bfloat16


def test_bad_registrations() -> None:
    with pytest.raises(TypeError, match="register_mixer: name must be a str, got int"):
        register_mixer(3)
    with pytest.raises(ValueError, match="name must not be empty"):
        register_mixer("")
    with pytest.raises(ValueError, match="name must be one that is not taken, got 'fourier'"):
        register_mixer("fourier")(Scaled)
    with pytest.raises(TypeError, match="'thing' must be callable, got int"):
        register_mixer("thing")(3)
    for factory in (lambda hidden_size: None, lambda hidden_size, seq_len, other: None):
        with pytest.raises(TypeError, match="'thing' must take hidden_size and seq_len as its"):
            register_mixer("thing")(factory)
    assert "thing" not in list_mixers()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "fft"}, ValueError, "name must be one of 'attention', .*; got 'fft'"),
        ({"name": None}, TypeError, "name must be a str, got None"),
        ({"hidden_size": 0}, ValueError, "hidden_size must be at least 1, got 0"),
        ({"hidden_size": 6.0}, TypeError, "hidden_size must be an int, got float"),
        ({"seq_len": 0}, ValueError, "seq_len must be at least 1, got 0"),
        ({"seq_len": "9"}, TypeError, "seq_len must be an int, got str"),
        ({"gain": "ortho"}, ValueError, "gain must be 'paper' or a number, got 'ortho'"),
        ({"gain": None}, TypeError, "gain must be 'paper' or a number, got None"),
        ({"gain": float("nan")}, ValueError, "gain must be finite, got nan"),
        ({"gain": np.float32("inf")}, ValueError, "gain must be finite, got inf"),
        ({"gain": 10**400}, ValueError, "gain must be finite, got 1000"),
        ({"scale": 2.0}, TypeError, "'fourier' has no argument 'scale'; it takes none"),
        ({"name": "filter", "bases": 1}, TypeError, "no argument 'bases'; it takes basis"),
        (
            {"name": "random", "seq_len": 4, "seed": 2**64},
            ValueError,
            rf"seed must be less than 2\^64, got {2**64}",
        ),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    owner = "random" if arguments.get("name") == "random" else "create_mixer"
    with pytest.raises(error, match=f"{owner}: .*{message}"):
        create_mixer(**{"name": "fourier", "hidden_size": 6, **arguments})


def test_any_number_is_a_gain() -> None:
    x = torch.randn(4, 6)
    for name in ("dct", "random", "none"):
        half, whole = (
            create_mixer(name, 6, 4, gain=gain, **SEEDS.get(name, {}))
            for gain in (Fraction(1, 2), 1.0)
        )
        assert_close(half(x), 0.5 * whole(x))


class Hooked(SelfAttention):
    def forward(self, *args: Any) -> Any:
        raise AssertionError


def hooked(hidden_size: int, seq_len: int | None) -> nn.Module:
    mixer = SelfAttention(hidden_size)
    mixer.register_forward_hook(lambda *_: None)
    return mixer


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Hooked, "mixer must be a SelfAttention itself, without hooks, .*; got Hooked"),
        (hooked, "mixer must be a SelfAttention itself, without hooks"),
        (
            lambda hidden_size, seq_len: fk.FusedFourierMix(hidden_size),
            "mixer must be a module that mixes alone",
        ),
    ],
)
def test_what_a_name_makes_is_checked_as_a_module(factory: Any, message: str) -> None:
    """A layer calls the parts of attention, so it would leave out hooks and an own forward."""
    register_mixer("own")(factory)
    with pytest.raises(TypeError, match=f"FNetEncoderLayer: {message}"):
        fk.FNetEncoderLayer(64, 64, mixer="own")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"gain": 1.0}, ValueError, "mixer_args must not have 'gain', which is an argument of its"),
        ({"seq_len": 4}, ValueError, "mixer_args must not have 'seq_len'"),
        ({"hidden_size": 4}, ValueError, "mixer_args must not have 'hidden_size'"),
        ({"name": "dct"}, ValueError, "mixer_args must not have 'name'"),
        ([1], TypeError, "mixer_args must be a dict, got list"),
        ({1: 2}, TypeError, "mixer_args must have names as keys, got int"),
    ],
)
def test_bad_mixer_args(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"FNetEncoderLayer: {message}"):
        fk.FNetEncoderLayer(6, 8, mixer="dct", mixer_args=given)
    with pytest.raises(error, match=f"FNetEncoder: {message}"):
        fk.FNetEncoder(2, 6, 8, mixer="dct", mixer_args=given)
    with pytest.raises(error, match=f"FNetConfig: {message}"):
        FNetConfig.mini(mixer="dct", mixer_args=given)


def test_other_arguments_of_layers() -> None:
    with pytest.raises(TypeError, match=r"mixer must be a name, a torch\.nn\.Module or a seq"):
        fk.FNetEncoder(2, 6, 8, mixer=(nn.Identity() for _ in range(2)))
    for value in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="initializer_range must be finite and not negative"):
            fk.FNetEncoderLayer(6, 8, initializer_range=value)
        with pytest.raises(ValueError, match="initializer_range must be finite and not negative"):
            SelfAttention(6, initializer_range=value)


def test_attention_alone_ignores_the_gain_of_the_mixer_that_no_layer_has() -> None:
    FNetModel(FNetConfig.mini(num_attention_layers=2, gain=1.0))
    with pytest.raises(TypeError, match="'filter' has no argument 'bogus'"):
        FNetModel(FNetConfig.mini(mixer="filter", num_attention_layers=2, mixer_args={"bogus": 1}))


def test_a_mixer_must_be_a_module() -> None:
    register_mixer("text")(lambda hidden_size, seq_len, gain: "text")
    with pytest.raises(TypeError, match=r"'text' must make a torch.nn.Module, got str"):
        create_mixer("text", 6)
