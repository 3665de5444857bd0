from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import gelu, leaky_relu, relu

import fnet_kernels as fk
from fnet_kernels import reference
from fnet_kernels.mixers import SelfAttention, create_mixer
from fnet_kernels.models import FNetConfig, FNetModel
from python_tests.helpers.close import assert_close


def definition(layer: fk.FNetEncoderLayer, x: Tensor) -> Tensor:
    norm = layer.fourier.output.LayerNorm
    h = reference.fused_fourier_mix(x, norm.weight, norm.bias, norm.eps)
    ff = layer.output.dense(gelu(layer.intermediate.dense(h), approximate="tanh"))
    return layer.output.LayerNorm(h + ff)


def test_layer_matches_its_definition() -> None:
    layer = fk.FNetEncoderLayer(16, 32, dtype=torch.float64).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    assert_close(layer(x), definition(layer, x), factor=100)
    assert layer.fourier.output.LayerNorm.eps == layer.output.LayerNorm.eps == 1e-12


def test_layer_matches_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.models.fnet.modeling_fnet import FNetLayer

    theirs = FNetLayer(transformers.FNetConfig(hidden_size=16, intermediate_size=32)).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    layer = fk.FNetEncoderLayer(16, 32).eval()
    layer.load_state_dict(theirs.state_dict())
    assert list(layer.state_dict()) == list(theirs.state_dict())
    x = torch.randn(2, 9, 16)
    assert_close(layer(x), theirs(x)[0], factor=10)


def test_a_mixer_with_a_residual_of_its_own_is_refused() -> None:
    for build in (
        fk.FNetEncoderLayer,
        lambda *sizes, **options: fk.FNetEncoder(1, *sizes, **options),
    ):
        with pytest.raises(TypeError, match=r"mixes alone, like FourierMix; got a FusedFourierMix"):
            build(16, 32, mixer=fk.FusedFourierMix(16))


def test_dropout_is_on_the_feed_forward_only() -> None:
    layer = fk.FNetEncoderLayer(16, 32, dropout=1.0)
    x = torch.randn(2, 9, 16)
    # Dropping the whole feed-forward network leaves only the mixing.
    assert torch.equal(layer(x), layer.output.LayerNorm(layer.fourier(x)))
    assert not torch.equal(layer.eval()(x), layer.output.LayerNorm(layer.fourier(x)))


def test_initial_values() -> None:
    layer = fk.FNetEncoderLayer(64, 256)
    for normal in (
        layer.intermediate.dense.weight,
        layer.intermediate.dense.bias,
        layer.output.dense.weight,
    ):
        assert 0.016 < normal.std().item() < 0.024
    assert not layer.output.dense.bias.any()


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("gelu", gelu),
        ("relu", relu),
        (torch.tanh, torch.tanh),
        (nn.LeakyReLU(0.3), lambda t: leaky_relu(t, 0.3)),
    ],
)
def test_activation_is_a_name_a_function_or_a_module(activation: Any, function: Any) -> None:
    layer = fk.FNetEncoderLayer(16, 32, activation=activation, dropout=0.0, dtype=torch.float64)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    h = layer.fourier(x)
    expected = layer.output(function(layer.intermediate.dense(h)), h)
    assert_close(layer(x), expected)
    standard = fk.FNetEncoderLayer(16, 32, dropout=0.0, dtype=torch.float64)
    standard.load_state_dict(layer.state_dict())
    assert not torch.allclose(standard(x), expected)
    assert standard.intermediate.activation.approximate == "tanh"


def test_layers_have_an_activation_of_their_own() -> None:
    encoder = fk.FNetEncoder(2, 16, 32, activation=nn.PReLU(32))
    first, second = (layer.intermediate.activation.weight for layer in encoder)
    assert first is not second
    assert len(list(encoder.parameters())) == 2 * 9


def test_bad_activations_are_errors() -> None:
    for bad in ("swish", "GELU"):
        with pytest.raises(ValueError, match=f"'gelu_tanh', 'gelu', 'relu' or a .*got '{bad}'"):
            fk.FNetEncoderLayer(16, 32, activation=bad)
    for bad in (None, 3, nn.ReLU):
        with pytest.raises(TypeError, match=r"activation must be a name, .*got "):
            fk.FNetEncoderLayer(16, 32, activation=bad)


def test_encoder_applies_its_layers_in_order() -> None:
    encoder = fk.FNetEncoder(
        3, 16, 32, mixer=fk.FourierMix(0.1), dropout=0.5, eps=1e-6, dtype=torch.float64
    )
    assert len(encoder) == 3
    for layer in encoder:
        assert isinstance(layer, fk.FNetEncoderLayer)
        assert layer.fourier.output.LayerNorm.eps == layer.output.LayerNorm.eps == 1e-6
        assert (layer.fourier.self.scale, layer.output.dropout.p) == (0.1, 0.5)
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    encoder.eval()
    assert torch.equal(encoder(x), encoder[2](encoder[1](encoder[0](x))))
    assert torch.equal(encoder(x), encoder[-1](encoder[:2](x)))


def test_a_module_list_has_a_mixer_for_each_layer() -> None:
    mixers = nn.ModuleList([fk.FourierMix(0.1), SelfAttention(64)])
    encoder = fk.FNetEncoder(2, 64, 128, mixer=mixers)
    assert encoder[0].fourier.self is mixers[0]
    assert encoder[1].attention.self is mixers[1].self
    with pytest.raises(ValueError, match="a sequence of num_layers=3 mixers; got 2"):
        fk.FNetEncoder(3, 64, 128, mixer=mixers)


def test_layers_have_a_mixer_of_their_own() -> None:
    given = create_mixer("linear", 8, 4)
    mixers = [layer.fourier.self for layer in fk.FNetEncoder(2, 8, 16, mixer=given)]
    assert len({id(kernel) for m in (given, *mixers) for kernel in m.parameters()}) == 3 * 2
    assert all(torch.equal(mixer.seq_kernel, given.seq_kernel) for mixer in mixers)


def test_attention_by_name_has_the_dropout_of_its_layer() -> None:
    x = torch.randn(2, 9, 64)
    for options, dropout in (
        ({}, 0.1),
        ({"dropout": 0.0}, 0.0),
        ({"dropout": 0.0, "mixer_args": {"dropout": 0.5}}, 0.5),
    ):
        encoder = fk.FNetEncoder(2, 64, 128, mixer=["fourier", "attention"], **options)
        assert encoder[1].attention.self.dropout == dropout
        assert torch.equal(encoder(x), encoder(x)) == (dropout == 0.0)


def test_encoder_trains_in_bfloat16_and_compiled() -> None:
    torch.compiler.reset()
    encoder = fk.FNetEncoder(2, 16, 32, dtype=torch.bfloat16)
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    compiled(torch.randn(2, 9, 16, dtype=torch.bfloat16)).float().square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_attention_that_a_layer_would_take_apart_is_refused() -> None:
    class Own(SelfAttention):
        pass

    hooked = SelfAttention(64)
    hooked.register_forward_hook(lambda *_: None)
    for mixer in (Own(64), hooked):
        with pytest.raises(TypeError, match="mixer must be a SelfAttention itself, without hooks"):
            fk.FNetEncoderLayer(64, 128, mixer=mixer)


@pytest.mark.parametrize("name", ["linear", "attention"])
def test_a_given_mixer_moves_to_the_device_and_the_dtype(name: str) -> None:
    mixer = create_mixer(name, 64, 4)
    encoder = fk.FNetEncoder(2, 64, 128, mixer=mixer, device="meta", dtype=torch.bfloat16)
    found = {(p.device.type, p.dtype) for p in encoder.parameters()}
    assert found == {("meta", torch.bfloat16)}


def test_a_wrong_norm_type_is_named_before_what_depends_on_it() -> None:
    with pytest.raises(ValueError, match="norm_type must be"):
        fk.FNetEncoder(1, 64, 128, eps=None, norm_type="RMS")  # type: ignore[arg-type]


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("mixer", ["attention", "fourier"])
def test_what_padding_holds_does_not_count(mixer: str, norm_first: bool) -> None:
    options = {"mixer": mixer, "norm_first": norm_first, "padding": "zero"}
    encoder = fk.FNetEncoder(2, 64, 128, **options).eval()  # type: ignore[arg-type]
    x = torch.randn(2, 6, 64)
    other = x.clone()
    other[1, 3:] = float("nan")
    assert torch.equal(encoder(x, lengths=[6, 3]), encoder(other, lengths=[6, 3]))


def test_what_a_module_has_already_is_refused() -> None:
    for name, value in (("gain", 0.5), ("mixer_args", {"basis": "dct"})):
        given: Any = {"mixer": fk.FourierMix(), name: value}
        with pytest.raises(ValueError, match=f"FNetEncoder: {name} must be left out if mixer is"):
            fk.FNetEncoder(1, 8, 16, **given)
        with pytest.raises(ValueError, match=f"FNetEncoderLayer: {name} must be left out"):
            fk.FNetEncoderLayer(8, 16, **given)


class OfOtherShape(nn.Module):
    """Its mean over the tokens would broadcast."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-2, keepdim=True)


class OfOtherDtype(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


def test_under_autocast_a_mixer_may_return_another_dtype() -> None:
    layer = fk.FNetEncoderLayer(8, 16, mixer=OfOtherDtype(torch.bfloat16))
    with torch.autocast("cpu"):
        assert layer(torch.randn(2, 4, 8)).isfinite().all()


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("padding", ["tokens", "zero", "exact"])
def test_a_mixer_of_another_shape_is_named(padding: Any, norm_first: bool) -> None:
    options: Any = {"padding": padding, "norm_first": norm_first}
    lengths: Any = {} if padding == "tokens" else {"lengths": [4, 2]}
    for mixer, got in (
        (OfOtherShape(), r"shape \(\d, 1, 8\)"),
        (nn.Linear(8, 7), r"shape \(\d, \d, 7\)"),
        (fk.FourierAttention(8), "tuple"),
        (OfOtherDtype(torch.float64), r"shape .* of torch.float64"),
        (OfOtherDtype(torch.complex64), r"shape .* of torch.complex64"),
        (OfOtherDtype(torch.bfloat16), r"shape .* of torch.bfloat16"),
    ):
        layer = fk.FNetEncoderLayer(8, 16, mixer=mixer, **options)
        name = type(mixer).__name__
        with pytest.raises(ValueError, match=f"{name}: a mixer must return .*; got {got}"):
            layer(torch.randn(2, 4, 8), **lengths)


@pytest.mark.parametrize("padding", ["tokens", "zero", "exact"])
def test_what_replaces_a_sublayer_needs_no_lengths(padding: Any) -> None:
    layer = fk.FNetEncoderLayer(8, 16, padding=padding).eval()
    given: Any = {} if padding == "tokens" else {"lengths": [4, 2]}
    x = torch.randn(2, 4, 8)
    mixed = layer(x, **given)
    layer.fourier = fk.FusedFourierMix(8)  # whose second argument is another
    assert_close(layer(x[:1], **given and {"lengths": [4]}), mixed[:1])
    layer.fourier = nn.Identity()
    unmixed = layer(x, **given)
    assert not torch.equal(unmixed, mixed)
    rows = 4 if padding == "tokens" else 2
    assert_close(unmixed[1, :rows], layer.output(layer.intermediate(x[1, :rows]), x[1, :rows]))
    assert padding == "tokens" or not unmixed[1, 2:].any()


@pytest.mark.parametrize("mixer", ["fourier", "none"])
def test_the_dtype_is_that_of_the_dense_layers(mixer: str) -> None:
    layer = fk.FNetEncoderLayer(8, 8, mixer=mixer)
    x = torch.randn(3, 8)
    for wrong in (x.bfloat16(), x.double()):
        message = f"FNetEncoderLayer: x must .* torch.float32; got {wrong.dtype}"
        with pytest.raises(TypeError, match=message):
            layer(wrong)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x.bfloat16()).isfinite().all()


def test_repr_shows_padding_and_order() -> None:
    encoder = fk.FNetEncoder(1, 8, 8, padding="exact", round_to=8, norm_first=True)
    assert repr(encoder).splitlines()[1].strip() == "padding=exact, round_to=8"
    assert repr(encoder[0]).splitlines()[1].strip() == "norm_first=True"
    assert "padding" not in repr(fk.FNetEncoder(1, 8, 8))


def test_fake_tensors() -> None:
    with FakeTensorMode():
        layer = fk.FNetEncoderLayer(16, 32, padding="exact")
        assert layer(torch.randn(2, 8, 16), lengths=[8, 3]).shape == (2, 8, 16)
        model = FNetModel(FNetConfig.mini())
        assert model(torch.randint(4, 100, (2, 8))).pooler_output.shape == (2, 64)


def test_lengths_are_made_on_the_host_whatever_the_default_device_is() -> None:
    encoder = fk.FNetEncoder(2, 8, 16, mixer=["fourier", "attention"], padding="exact").eval()
    x = torch.randn(2, 4, 8)
    expected = encoder(x, lengths=[4, 2])
    with torch.device("meta"):
        assert torch.equal(encoder(x, lengths=[4, 2]), expected)
