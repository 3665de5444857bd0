"""`norm_first` and `norm_type` of the modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import fnet_kernels as fk
from python_tests.helpers.close import assert_close
from python_tests.helpers.refused import assert_refused

BLOCKS = [(False, "layer"), (False, "rms"), (True, "layer"), (True, "rms")]
NORMS: dict[str, Any] = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


def randomised(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.double().eval()


class Calls(TorchDispatchMode):
    """Records the operators of this package."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "fnet_kernels":
            self.names.append(func._opname)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("norm_first", "norm_type"), BLOCKS)
def test_the_sublayer_exchanges_its_state_with_a_norm(norm_first: bool, norm_type: Any) -> None:
    mix = fk.FusedFourierMix(12, 1e-3, scale=0.1, norm_first=norm_first, norm_type=norm_type)
    norm = NORMS[norm_type](12, 1e-3)
    assert list(mix.state_dict()) == list(norm.state_dict())
    randomised(mix)
    norm.load_state_dict(mix.state_dict())
    x = torch.randn(2, 8, 12, dtype=torch.float64)
    transform = fk.FourierMix(0.1)
    expected = x + transform(norm.double()(x)) if norm_first else norm.double()(x + transform(x))
    assert_close(mix(x), expected, factor=10)
    shows = f", norm_first={norm_first}, norm_type={norm_type})"
    assert repr(mix).endswith(shows) == ((norm_first, norm_type) != BLOCKS[0])


@pytest.mark.parametrize(("norm_first", "norm_type"), BLOCKS)
@pytest.mark.parametrize("mixer", ["fourier", "hartley", "attention"])
def test_the_layer_is_its_definition(mixer: str, norm_first: bool, norm_type: Any) -> None:
    layer = fk.FNetEncoderLayer(
        16, 32, mixer=mixer, norm_first=norm_first, norm_type=norm_type, eps=1e-3
    )
    randomised(layer)
    half = layer.attention if mixer == "attention" else layer.fourier
    norm = half.output["LayerNorm"] if mixer == "attention" else half.output.LayerNorm
    assert type(norm) is type(layer.output.LayerNorm) is NORMS[norm_type]
    assert norm.eps == layer.output.LayerNorm.eps == 1e-3

    def mixed(t: Tensor) -> Tensor:
        found: Tensor = (
            half.output["dense"](half.self(t, None)) if mixer == "attention" else half.self(t)
        )
        return found

    def feed_forward(t: Tensor) -> Tensor:
        found: Tensor = layer.output.dense(layer.intermediate(t))
        return found

    x = torch.randn(2, 9, 16, dtype=torch.float64)
    if norm_first:
        h = x + mixed(norm(x))
        expected = h + feed_forward(layer.output.LayerNorm(h))
    else:
        h = norm(x + mixed(x))
        expected = layer.output.LayerNorm(h + feed_forward(h))
    assert_close(layer(x), expected, factor=100)


@pytest.mark.parametrize(("norm_first", "norm_type"), BLOCKS)
def test_the_layer_takes_one_operator(norm_first: bool, norm_type: Any) -> None:
    """Unless a module of the sublayer is hooked; then its modules run, with the same result."""
    layer = fk.FNetEncoderLayer(16, 32, norm_first=norm_first, norm_type=norm_type).eval()
    x = torch.randn(2, 9, 16)
    with torch.no_grad(), Calls() as fused:
        y = layer(x)
    name = "fused_rms_fourier_mix" if norm_type == "rms" else "fused_fourier_mix"
    assert fused.names == ["prenorm_fourier_mix" if norm_first else name]
    seen: list[Tensor] = []
    layer.fourier.output.register_forward_hook(lambda *args: seen.append(args[-1]))
    with torch.no_grad(), Calls() as separate:
        assert_close(layer(x), y, factor=10)
    assert separate.names == ["fourier_mix"]
    assert len(seen) == 1


def test_either_order_has_the_same_parameters() -> None:
    """LayerNorm's are transformers' names; a checkpoint of either order loads into the other."""
    layers = [fk.FNetEncoderLayer(16, 32, norm_first=first) for first in (False, True)]
    post, pre = (layer.state_dict() for layer in layers)
    assert list(post) == list(pre)
    layers[1].load_state_dict(post)
    rms = fk.FNetEncoderLayer(16, 32, norm_type="rms").state_dict()
    assert list(rms) == [name for name in post if not name.endswith("LayerNorm.bias")]


def test_every_layer_of_the_encoder_has_them() -> None:
    encoder = fk.FNetEncoder(2, 16, 32, norm_first=True, norm_type="rms", eps=None).eval()
    assert len(encoder) == 2
    for layer in encoder:
        assert isinstance(layer, fk.FNetEncoderLayer)
        assert layer.norm_first
        assert isinstance(layer.output.LayerNorm, nn.RMSNorm)
        assert layer.output.LayerNorm.eps is None
    x = torch.randn(2, 9, 16)
    assert torch.equal(encoder(x), encoder[1](encoder[0](x)))


def test_a_pre_norm_encoder_trains_compiled() -> None:
    torch.compiler.reset()
    encoder = fk.FNetEncoder(2, 16, 32, mixer=fk.FourierMix(norm="ortho"), norm_first=True)
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    compiled(torch.randn(2, 9, 16)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


REFUSED: list[tuple[Callable[[], Any], type[Exception], list[str]]] = [
    (
        lambda: fk.FusedFourierMix(4, norm_first="yes"),  # type: ignore[arg-type]
        TypeError,
        ["FusedFourierMix: norm_first must be True or False", "got 'yes'"],
    ),
    (
        lambda: fk.FusedFourierMix(4, norm_type="RMS"),  # type: ignore[arg-type]
        ValueError,
        ["FusedFourierMix: norm_type must be 'layer' or 'rms'", "got 'RMS'"],
    ),
    (
        lambda: fk.FusedFourierMix(4, eps=None),
        TypeError,
        ["FusedFourierMix: eps must be a Python number", "None"],
    ),
    (
        lambda: fk.FusedFourierMix(4, elementwise_affine="no"),  # type: ignore[arg-type]
        TypeError,
        ["FusedFourierMix: elementwise_affine must be True or False", "got 'no'"],
    ),
    (
        lambda: fk.FusedFourierMix(4, bias=0),  # type: ignore[arg-type]
        TypeError,
        ["FusedFourierMix: bias must be True or False", "got 0"],
    ),
    (
        lambda: fk.FourierAttention(4, batch_first=None),  # type: ignore[arg-type]
        TypeError,
        ["FourierAttention: batch_first must be True or False", "got None"],
    ),
    (
        lambda: fk.FNetEncoder(1, 4, 8, gradient_checkpointing="on"),  # type: ignore[arg-type]
        TypeError,
        ["FNetEncoder: gradient_checkpointing must be True or False", "got 'on'"],
    ),
    (
        lambda: fk.FNetEncoderLayer(4, 8, norm_type=None),  # type: ignore[arg-type]
        ValueError,
        ["FNetEncoderLayer: norm_type must be 'layer' or 'rms'", "got None"],
    ),
    (
        lambda: fk.FNetEncoder(0, 4, 8, norm_first=0),  # type: ignore[arg-type]
        TypeError,
        ["FNetEncoder: norm_first must be True or False", "got 0"],
    ),
]


@pytest.mark.parametrize(("wrong", "error", "words"), REFUSED)
def test_wrong_settings_are_named(
    wrong: Callable[[], Any], error: type[Exception], words: list[str]
) -> None:
    assert_refused(wrong, error, words)
