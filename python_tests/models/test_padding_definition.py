"""Layers and modules on padded sequences against the definition of each sequence alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from fnet_kernels import (
    FNetEncoder,
    FNetEncoderLayer,
    FourierAttention,
    FourierMix,
    FusedFourierMix,
    reference,
)
from python_tests.helpers.close import assert_close, relative_error
from python_tests.helpers.fnet_models import FusedCalls
from python_tests.helpers.padded import LENGTHS, MASK, SEQ
from python_tests.helpers.padded_models import IDS, make, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


def definition(
    layer: FNetEncoderLayer, x: Tensor, lengths: Sequence[int], sizes: Sequence[int]
) -> Tensor:
    """Each sequence, filled with zeros to its size, through the formula of a layer at gain 0.5."""
    rows = []
    norm = layer.fourier.output.LayerNorm
    for row, length, size in zip(x, lengths, sizes, strict=True):
        filled = pad(row[:length], (0, 0, 0, size - length))
        args = norm.weight, norm.bias, norm.eps
        h = reference.fused_fourier_mix(filled, *args, scale=0.5, norm="ortho")[:length]
        rows.append(pad(layer.output(layer.intermediate(h), h), (0, 0, 0, x.size(1) - length)))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("padding", "round_to", "sizes"),
    [
        ("exact", None, LENGTHS),
        ("exact", 4, [16, 8, 4, 12]),
        ("zero", None, [SEQ] * 4),
    ],
)
def test_a_layer_matches_its_definition(
    padding: str, round_to: int | None, sizes: list[int]
) -> None:
    options: Any = {"padding": padding, "round_to": round_to, "gain": 0.5, "dtype": torch.float64}
    layer = FNetEncoderLayer(24, 48, **options).eval()
    x = torch.randn(4, SEQ, 24, dtype=torch.float64, requires_grad=True)
    expected = definition(layer, x, LENGTHS, sizes)
    gradient = torch.randn_like(x)
    (wanted,) = torch.autograd.grad(expected, x, gradient)
    # The layer alone, in an encoder, and with a LayerNorm that cannot be fused.
    encoder = FNetEncoder(1, 24, 48, **options).eval()
    encoder.layer[0] = layer
    apart = copy.deepcopy(layer)
    apart.fourier.output.LayerNorm.register_forward_hook(lambda *_: None)
    for module in (layer, encoder, apart):
        for given_as in ({"lengths": LENGTHS}, {"key_mask": MASK}):
            y = module(x, **given_as)
            assert_close(y, expected, factor=100)
            (got,) = torch.autograd.grad(y, x, gradient)
            assert_close(got, wanted, factor=100)
            assert not y[~MASK].any()
            assert not got[~MASK].any()
    with FusedCalls() as calls:
        encoder(x, lengths=LENGTHS)
    assert calls.count >= 1


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("norm_type", ["layer", "rms"])
def test_every_norm_sees_each_sequence_alone(norm_first: bool, norm_type: Any) -> None:
    options: Any = {"norm_first": norm_first, "norm_type": norm_type}
    alone = FNetEncoder(2, 24, 48, **options).eval()
    exact = FNetEncoder(2, 24, 48, padding="exact", **options).eval()
    exact.load_state_dict(alone.state_dict())
    x = torch.randn(4, SEQ, 24)
    for row, y, length in zip(x, exact(x, lengths=LENGTHS), LENGTHS, strict=True):
        assert relative_error(y[:length], alone(row[:length])) <= 1e-5
        assert not y[length:].any()


def test_zero_depends_on_the_padded_length_alone() -> None:
    model = make(padding="zero", pooling="mean", num_attention_layers=1)
    other = torch.where(MASK, IDS, 50)
    first, second = (model(ids, attention_mask=MASK) for ids in (IDS, other))
    for a, b in zip(tensors(first), tensors(second), strict=True):
        assert torch.equal(a, b)
    assert not first.last_hidden_state[~MASK].any()
    shorter = model(IDS[1:2, :9], attention_mask=MASK[1:2, :9]).last_hidden_state
    assert relative_error(shorter[0, :5], first.last_hidden_state[1, :5]) > 1e-2
    by_lengths = model(IDS, lengths=LENGTHS)
    assert torch.equal(by_lengths.last_hidden_state, first.last_hidden_state)
    tokens = make(padding="tokens", pooling="mean", num_attention_layers=1)
    assert relative_error(tokens(IDS, attention_mask=MASK)[0][1], first[0][1]) > 1e-2


def test_values_in_padding_do_not_matter() -> None:
    x = torch.randn(4, SEQ, 24)
    x[~MASK] = float("nan")
    for padding in ("zero", "exact"):
        encoder = FNetEncoder(2, 24, 48, padding=padding).eval()
        y = encoder(x, key_mask=MASK)
        assert y.isfinite().all()
        assert y[MASK].any(-1).all()


@pytest.mark.parametrize("padding", ["zero", "exact"])
@pytest.mark.parametrize("mixer", ["fourier", "attention"])
def test_a_mask_may_be_on_the_host(padding: str, mixer: str) -> None:
    """For an input on a device, of which meta has the rules."""
    encoder = FNetEncoder(1, 24, 48, mixer=mixer, padding=padding).to("meta")
    assert encoder(torch.randn(4, SEQ, 24, device="meta"), key_mask=MASK).is_meta


def test_modules_take_lengths() -> None:
    x = torch.randn(4, SEQ, 24, dtype=torch.float64)
    mix, fused = FourierMix(0.5, norm="ortho"), FusedFourierMix(24, dtype=torch.float64)
    nn.init.normal_(fused.weight)
    for round_to, sizes in ((None, LENGTHS), (4, [16, 8, 4, 12])):
        for given_as in (LENGTHS, torch.tensor(LENGTHS), MASK):
            y = mix(x, given_as, round_to)
            z = fused(x, lengths=given_as, round_to=round_to)
            for i, (length, size) in enumerate(zip(LENGTHS, sizes, strict=True)):
                filled = pad(x[i, :length], (0, 0, 0, size - length))
                expected = reference.fourier_mix(filled, scale=0.5, norm="ortho")[:length]
                assert_close(y[i, :length], expected, factor=10)
                expected = reference.fused_fourier_mix(filled, fused.weight, fused.bias)[:length]
                assert_close(z[i, :length], expected, factor=100)
                assert not y[i, length:].any()
                assert not z[i, length:].any()


@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_takes_a_padding_mask(batch_first: bool) -> None:
    x = torch.randn(4, SEQ, 24)
    for options, sizes in (
        ({"padding": "exact"}, LENGTHS),
        ({"padding": "exact", "round_to": 4}, [16, 8, 4, 12]),
        ({"padding": "zero"}, [SEQ] * 4),
    ):
        options |= {"batch_first": batch_first, "scale": 0.5, "norm": "ortho"}
        attention = FourierAttention(24, **options)
        assert str(options["padding"]) in repr(attention)
        query = x if batch_first else x.transpose(0, 1)
        floats = torch.zeros(4, SEQ).masked_fill(~MASK, -torch.inf)
        for mask in (~MASK, floats):
            y, _ = attention(query, query, query, key_padding_mask=mask)
            y = y if batch_first else y.transpose(0, 1)
            for i, (length, size) in enumerate(zip(LENGTHS, sizes, strict=True)):
                filled = pad(x[i, :length], (0, 0, 0, size - length))
                expected = reference.fourier_mix(filled, scale=0.5, norm="ortho")[:length]
                assert_close(y[i, :length], expected, factor=10)
                assert not y[i, length:].any()
        unpadded = FourierAttention(24, **{**options, "padding": "tokens", "round_to": None})
        assert_close(attention(query)[0], unpadded(query)[0])
        one = attention(x[1], key_padding_mask=~MASK[1])[0]
        assert_close(one, y[1])
        with pytest.raises(ValueError, match="key_padding_mask must be True for the last tokens"):
            attention(query, key_padding_mask=MASK)
    with pytest.raises(ValueError, match="key_padding_mask must not mask anything"):
        FourierAttention(24, batch_first=True)(x, key_padding_mask=~MASK)


def test_an_encoder_of_torch_gives_each_sequence_what_it_gives_alone() -> None:
    layer = nn.TransformerEncoderLayer(24, 4, 48, batch_first=True)
    layer.self_attn = FourierAttention(24, batch_first=True, padding="exact")
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(4, SEQ, 24)
    y = encoder(x, src_key_padding_mask=~MASK)
    for i, length in enumerate(LENGTHS):
        assert relative_error(y[i, :length], encoder(x[i : i + 1, :length])[0]) <= 1e-5
