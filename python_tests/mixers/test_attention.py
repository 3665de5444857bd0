"""Self-attention as a mixer against torch's, alone and in a hybrid encoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fnet_kernels as fk
from fnet_kernels._sublayers import AttentionSublayer
from fnet_kernels.mixers import SelfAttention, create_mixer
from python_tests.helpers.close import assert_close, relative_error

pytestmark = pytest.mark.usefixtures("one_thread")

HEADS = 2


def pair(hidden: int = 8, dropout: float = 0.1) -> tuple[SelfAttention, nn.MultiheadAttention]:
    """Our attention and torch's with the same weights, in float64."""
    ours = SelfAttention(hidden, num_attention_heads=HEADS, dropout=dropout).double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    torchs = nn.MultiheadAttention(hidden, HEADS, dropout=dropout, batch_first=True).double()
    state, heads = ours.state_dict(), ("query", "key", "value")
    torchs.load_state_dict(
        {
            "in_proj_weight": torch.cat([state[f"self.{name}.weight"] for name in heads]),
            "in_proj_bias": torch.cat([state[f"self.{name}.bias"] for name in heads]),
            "out_proj.weight": state["output.dense.weight"],
            "out_proj.bias": state["output.dense.bias"],
        }
    )
    return ours.eval(), torchs.eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 7, 8, dtype=torch.float64, requires_grad=True)


@pytest.fixture
def mask() -> Tensor:
    return torch.arange(7) < torch.tensor([[7], [4], [1]])


def test_equals_torchs_attention(x: Tensor, mask: Tensor) -> None:
    ours, torchs = pair()
    for key_mask in (None, mask):
        padding = None if key_mask is None else ~key_mask
        expected = torchs(x, x, x, key_padding_mask=padding, need_weights=False)[0]
        assert_close(ours(x, key_mask), expected, factor=10)
        found, grad = (
            torch.autograd.grad(y.square().sum(), x)[0] for y in (ours(x, key_mask), expected)
        )
        assert_close(found, grad, factor=100)
    assert relative_error(ours(x, mask), ours(x)) > 0.01


def test_masked_tokens_have_no_influence(x: Tensor, mask: Tensor) -> None:
    ours, _ = pair()
    others = torch.where(mask[..., None], x, torch.randn_like(x))
    y, z = ours(x, mask), ours(others, mask)
    assert_close(y[mask], z[mask])
    assert relative_error(y[~mask], z[~mask]) > 0.1, "as queries they count"


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_the_mask_has_any_dtype(x: Tensor, mask: Tensor, dtype: torch.dtype) -> None:
    ours, _ = pair()
    assert torch.equal(ours(x, mask.to(dtype)), ours(x, mask))


def test_a_sequence_without_keys_is_zero_before_the_output(x: Tensor) -> None:
    ours, _ = pair()
    y = ours(x, torch.zeros(3, 7))
    assert torch.equal(y, ours.output["dense"].bias.expand_as(y))


def test_any_leading_axes(x: Tensor, mask: Tensor) -> None:
    ours, _ = pair()
    assert_close(ours(x[1], mask[1]), ours(x, mask)[1])
    many = ours(x.expand(2, 2, 3, 7, 8), mask.expand(2, 2, 3, 7))
    assert_close(many, ours(x, mask).expand(2, 2, 3, 7, 8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtypes(dtype: torch.dtype, mask: Tensor) -> None:
    ours, _ = pair()
    narrow = SelfAttention(8, num_attention_heads=HEADS).eval().to(dtype)
    narrow.load_state_dict(ours.state_dict())
    ours.load_state_dict(narrow.state_dict())
    x = torch.randn(3, 7, 8).to(dtype)
    y = narrow(x, mask)
    assert y.dtype is dtype
    assert_close(y, ours(x.double(), mask), factor=8)  # four roundings


def test_compiles_without_graph_breaks(x: Tensor, mask: Tensor) -> None:
    torch.compiler.reset()
    ours, _ = pair()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    for key_mask in (None, mask):
        assert_close(compiled(x, key_mask), ours(x, key_mask))
    with pytest.raises(RuntimeError, match=r"key_mask must be 1 or true .* negative numbers"):
        compiled(x, mask.double().log())


def test_dropout_acts_in_training_only(x: Tensor) -> None:
    ours, _ = pair(dropout=1.0)
    assert relative_error(ours(x), ours.output["dense"].bias.expand_as(x)) > 0.1
    ours.train()
    assert torch.equal(ours(x), ours.output["dense"].bias.expand_as(x))


def test_initial_values_and_heads() -> None:
    attention = create_mixer("attention", 192)
    assert isinstance(attention, SelfAttention)
    assert attention.self.heads == 3
    for hidden_size, heads in ((32, 1), (200, 2), (65, 1), (768, 12)):
        assert create_mixer("attention", hidden_size).self.heads == heads
    for name, parameter in attention.named_parameters():
        assert 0.016 < parameter.std().item() < 0.024, name


def test_parameters_have_the_names_of_bert() -> None:
    layer = fk.FNetEncoderLayer(8, 16, mixer="attention")
    names = ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm")
    expected = {f"attention.{name}.{kind}" for name in names for kind in ("weight", "bias")}
    assert {key for key in layer.state_dict() if key.startswith("attention")} == expected


def test_hybrid_encoder_passes_the_mask_to_attention(mask: Tensor) -> None:
    mixers = ["fourier", "linear", "attention"]
    encoder = fk.FNetEncoder(3, 8, 16, mixer=mixers, seq_len=9, dtype=torch.float64).eval()
    for parameter in encoder[2].parameters():
        nn.init.normal_(parameter)
    x = torch.randn(3, 7, 8, dtype=torch.float64)
    h = encoder[1](encoder[0](x))
    assert_close(encoder(x, mask), encoder[2](h, mask))
    assert relative_error(encoder(x, mask), encoder(x)) > 1e-3
    layer = encoder[2]
    attention = SelfAttention(8).double().eval()
    attention.self.load_state_dict(layer.attention.self.state_dict())
    attention.output["dense"].load_state_dict(layer.attention.output["dense"].state_dict())
    norm = layer.attention.output["LayerNorm"]
    assert_close(layer.attention(h, mask), norm(h + attention(h, mask)), factor=10)


def test_gain_reaches_only_mixers_that_have_one() -> None:
    encoder = fk.FNetEncoder(3, 8, 16, mixer=["fourier", "none", "attention"], gain=0.25)
    assert encoder[0].fourier.self.norm == "ortho"
    assert encoder[0].fourier.self.scale == encoder[1].fourier.self.gain == 0.25
    assert isinstance(encoder[2].attention, AttentionSublayer)


def test_arguments_reach_the_mixers_that_have_them() -> None:
    given = {"basis": "dct", "num_attention_heads": 4}
    mixers = ["filter", "fourier", "attention"]
    encoder = fk.FNetEncoder(3, 8, 16, mixer=mixers, seq_len=9, mixer_args=given)
    assert encoder[0].fourier.self.basis == "dct"
    assert encoder[2].attention.self.heads == 4
    with pytest.raises(TypeError, match="has no argument 'base'"):
        fk.FNetEncoder(3, 8, 16, mixer=mixers, seq_len=9, mixer_args={**given, "base": 2})


def test_gain_of_attention_alone_is_rejected() -> None:
    for make in (
        lambda gain: create_mixer("attention", 8, gain=gain),
        lambda gain: fk.FNetEncoderLayer(8, 16, mixer="attention", gain=gain),
        lambda gain: fk.FNetEncoder(1, 8, 16, mixer="attention", gain=gain),
        lambda gain: fk.FNetEncoder(2, 8, 16, mixer=["attention", nn.Identity()], gain=gain),
    ):
        make("paper")
        with pytest.raises(ValueError, match=r"gain must be 'paper' for 'attention', got 0\.5"):
            make(0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_attention_heads": 3}, ValueError, "must divide hidden_size=8, got 3"),
        ({"num_attention_heads": 0}, ValueError, "num_attention_heads must be at least 1, got 0"),
        ({"num_attention_heads": "2"}, TypeError, "num_attention_heads must be an int, got str"),
        ({"dropout": 1.5}, ValueError, r"dropout must be from 0 to 1, got 1\.5"),
        ({"dropout": None}, TypeError, "dropout must be a Python number, got None"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SelfAttention(8, **arguments)


def test_bad_input(x: Tensor, mask: Tensor) -> None:
    ours, _ = pair()
    with pytest.raises(ValueError, match=r"x must have shape \[..., seq, 8\]; got shape \(7, 6\)"):
        ours(torch.randn(7, 6))
    with pytest.raises(ValueError, match=r"key_mask must have .*\(3, 7\); got shape \(7,\)"):
        ours(x, mask[0])
    with pytest.raises(TypeError, match=r"key_mask must be a torch.Tensor, got list"):
        ours(x, mask.tolist())
    with pytest.raises(TypeError, match=r"attention: x must be a torch.Tensor, got list"):
        ours([1.0])
    with pytest.raises(TypeError, match=r"x must have the dtype of the parameters, .*; got torch"):
        ours(x.to(torch.bfloat16))
