"""The meanings of padding in encoders and models: what a result depends on."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import pad

from fnet_kernels import (
    FNetEncoder,
    FNetEncoderLayer,
    FourierAttention,
    FourierMix,
    FusedFourierMix,
    models,
    reference,
)
from fnet_kernels.mixers import create_mixer, list_mixers
from fnet_kernels.models import FNetConfig
from python_tests.helpers.close import assert_close, relative_error
from python_tests.helpers.fnet_models import MODELS, FusedCalls
from python_tests.helpers.padded import (
    CU_SEQLENS,
    LENGTHS,
    MASK,
    SEQ,
    alone,
    assert_independent,
    packed,
)

pytestmark = pytest.mark.usefixtures("one_thread")
IDS = torch.randint(4, 100, (len(LENGTHS), SEQ), generator=torch.Generator().manual_seed(1))


def make(name: str = "FNetModel", **config: Any) -> Any:
    options: dict[str, Any] = {
        "vocab_size": 100,
        "max_position_embeddings": SEQ,
        "initializer_range": 0.3,
        "padding": "exact",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    torch.manual_seed(0)
    return getattr(models, name)(FNetConfig.mini(**{**options, **config})).eval()


def tensors(output: Any) -> list[Tensor]:
    """The tensors of a model's result, without those of hidden states."""
    return [t for t in output if isinstance(t, Tensor)]


def caller(model: Any, **options: Any) -> Callable[[Tensor], list[Tensor]]:
    return lambda ids: tensors(model(ids, **options))


GIVEN: dict[str, dict[str, Any]] = {
    "booleans": {"attention_mask": MASK},
    "ones": {"attention_mask": MASK.long()},
    "floats": {"attention_mask": MASK.float()},
    "a list": {"lengths": LENGTHS},
    "a tensor": {"lengths": torch.tensor(LENGTHS)},
    "offsets": {"cu_seqlens": CU_SEQLENS},
    "an int32 tensor of offsets": {"cu_seqlens": torch.tensor(CU_SEQLENS, dtype=torch.int32)},
}


@pytest.mark.parametrize("given_as", GIVEN)
@pytest.mark.parametrize(
    "config",
    [{}, {"round_to": 8}, {"num_attention_layers": 1}, {"pooling": "mean"}, {"round_to": 3}],
    ids=str,
)
def test_a_sequence_gives_in_a_batch_what_it_gives_alone(
    config: dict[str, Any], given_as: str
) -> None:
    model = make(**config)
    options = GIVEN[given_as]
    ids = packed(IDS) if "cu_seqlens" in options else IDS
    assert_independent(tensors(model(ids, **options)), alone(caller(model), IDS))
    if "cu_seqlens" in options:
        row = model(ids[None], **options)
        assert row.last_hidden_state.shape == (1, sum(LENGTHS), 64)
        assert_independent(tensors(row), alone(caller(model), IDS))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, SEQ), min_size=1, max_size=6),
    st.sampled_from([None, 1, 4, 16]),
    st.sampled_from(["fourier", "hartley"]),
)
def test_results_do_not_depend_on_the_batch(
    lengths: list[int], round_to: int | None, mixer: str
) -> None:
    encoder = FNetEncoder(2, 24, 48, mixer=mixer, padding="exact", round_to=round_to).eval()
    x = torch.randn(len(lengths), SEQ, 24)
    y = encoder(x, lengths=lengths)
    cu_seqlens = torch.tensor([0, *lengths]).cumsum(0)
    flat = encoder(packed(x, lengths), cu_seqlens=cu_seqlens)
    for i, length in enumerate(lengths):
        single = encoder(x[i : i + 1, :length])[0]
        assert not y[i, length:].any()
        for part in (y[i, :length], flat[cu_seqlens[i] : cu_seqlens[i + 1]]):
            assert not length or relative_error(part, single) <= 1e-5


def test_the_property_fails_where_padding_is_mixed() -> None:
    expected = alone(caller(make()), IDS)
    good = tensors(make()(IDS, attention_mask=MASK))
    for padding in ("tokens", "zero"):
        bad = tensors(make(padding=padding)(IDS, attention_mask=MASK))
        with pytest.raises(AssertionError):
            assert_independent(bad, expected)
    for perturbed in ([torch.zeros_like(t) for t in good], [t.roll(1, 0) for t in good]):
        with pytest.raises(AssertionError):
            assert_independent(perturbed, expected)


def test_rounded_lengths_are_another_transform() -> None:
    exact, rounded = (make(round_to=n)(IDS, attention_mask=MASK)[0] for n in (None, 8))
    assert relative_error(rounded[0], exact[0]) < 1e-6  # 16 is a multiple of 8
    assert relative_error(rounded[1], exact[1]) > 1e-2


@pytest.mark.parametrize("name", MODELS)
def test_every_class(name: str) -> None:
    model = make(name)
    ids, mask = IDS, MASK
    if name == "FNetForMultipleChoice":
        ids, mask = IDS[:, None].expand(-1, 3, -1), MASK[:, None].expand(-1, 3, -1)
        output = model(ids, attention_mask=mask).logits
        for i, length in enumerate(LENGTHS):
            assert relative_error(output[i], model(ids[i, :, :length]).logits) <= 1e-5
        lengths = torch.tensor(LENGTHS)[:, None].expand(-1, 3)
        assert relative_error(model(ids, lengths=lengths).logits, output) <= 1e-6
        return
    expected = alone(caller(model), IDS)
    assert_independent(tensors(model(IDS, attention_mask=MASK)), expected)
    assert_independent(tensors(model(packed(IDS), cu_seqlens=CU_SEQLENS)), expected)


# The definition


def definition(
    layer: FNetEncoderLayer, x: Tensor, lengths: Sequence[int], sizes: Sequence[int]
) -> Tensor:
    """Each sequence, filled with zeros to its size, through the formula of the layer."""
    rows = []
    norm = layer.fourier.output.LayerNorm
    for row, length, size in zip(x, lengths, sizes, strict=True):
        filled = pad(row[:length], (0, 0, 0, size - length))
        h = reference.fused_fourier_mix(filled, norm.weight, norm.bias, norm.eps)[:length]
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
    options: Any = {"padding": padding, "round_to": round_to, "dtype": torch.float64}
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


# Mixers


@pytest.mark.parametrize("mixer", list_mixers())
def test_every_mixer_takes_lengths_or_refuses_them(mixer: str) -> None:
    model = make(mixer=mixer, mixer_args={})
    if mixer in ("circulant", "filter"):
        with pytest.raises(ValueError, match=f"{mixer}: x must have exactly seq_len=16 tokens"):
            model(IDS, attention_mask=MASK)
        model = make(mixer=mixer, round_to=SEQ)
    elif mixer == "hadamard":
        with pytest.raises(ValueError, match="hadamard: the sequence length of x must be 2"):
            model(IDS, attention_mask=MASK)
        model = make(mixer=mixer, round_to=4)
    states = model(IDS, attention_mask=MASK).last_hidden_state
    assert_independent([states], alone(lambda ids: [model(ids).last_hidden_state], IDS))
    by_zero = make(mixer=mixer, padding="zero")
    other = torch.where(MASK, IDS, 50)
    assert torch.equal(
        by_zero(IDS, attention_mask=MASK)[0], by_zero(other, attention_mask=MASK)[0]
    )
