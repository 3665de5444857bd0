"""Ports put FourierAttention where attention was, and call it as they called attention."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fnet_kernels import FourierAttention, FusedFourierMix, reference
from python_tests.helpers.close import assert_close

HIDDEN, SEQ, BATCH = 24, 9, 2
#: What nn.MultiheadAttention has, and what torch's layers read of it.
ATTRIBUTES = (
    *("embed_dim", "kdim", "vdim", "num_heads", "head_dim", "dropout", "batch_first"),
    *("in_proj_weight", "in_proj_bias", "out_proj", "bias_k", "bias_v", "add_zero_attn"),
    "_qkv_same_embed_dim",
)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(BATCH, SEQ, HIDDEN)


def layer(norm_first: bool = False, batch_first: bool = True, **options: Any) -> Any:
    """A layer of torch that mixes."""
    torch.manual_seed(1)
    built = nn.TransformerEncoderLayer(
        HIDDEN, 4, 48, dropout=0.0, norm_first=norm_first, batch_first=batch_first, **options
    )
    built.self_attn = FourierAttention(HIDDEN, 4, batch_first=batch_first)
    for parameter in built.parameters():
        nn.init.normal_(parameter)
    return built


def definition(layer: Any, x: Tensor) -> Tensor:
    """Of `layer`, for [batch, seq, hidden]."""

    def feed_forward(h: Tensor) -> Tensor:
        found: Tensor = layer.linear2(layer.activation(layer.linear1(h)))
        return found

    if layer.norm_first:
        x = x + reference.fourier_mix(layer.norm1(x))
        return x + feed_forward(layer.norm2(x))
    x = layer.norm1(x + reference.fourier_mix(x))
    found: Tensor = layer.norm2(x + feed_forward(x))
    return found


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_layer_of_torch_mixes(
    x: Tensor, train: bool, norm_first: bool, batch_first: bool, activation: str
) -> None:
    built = layer(norm_first, batch_first, activation=activation).train(train)
    expected = definition(built, x)
    given = x if batch_first else x.transpose(0, 1)
    for context in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with context():
            y = built(given)
        assert_close(y if batch_first else y.transpose(0, 1), expected, factor=10)
    assert_close(built(x[0]), expected[0], factor=10)  # without a batch


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("when", ["layer", "encoder"])
@pytest.mark.parametrize("mask", [False, True])
def test_an_encoder_of_torch_mixes(
    x: Tensor, train: bool, grad: bool, when: str, mask: bool
) -> None:
    """Set in the layer, or later in an encoder that was built for attention and nested tensors."""
    if when == "layer":
        with pytest.warns(UserWarning, match="use_nested_tensor is False"):
            encoder = nn.TransformerEncoder(layer(), 3)
    else:
        attention = nn.TransformerEncoderLayer(HIDDEN, 4, 48, dropout=0.0, batch_first=True)
        encoder = nn.TransformerEncoder(attention, 3)
        assert encoder.use_nested_tensor
        for each in encoder.layers:
            each.self_attn = FourierAttention(HIDDEN, batch_first=True)
            for parameter in each.parameters():
                nn.init.normal_(parameter)
    encoder.train(train)
    expected = x
    for each in encoder.layers:
        expected = definition(each, expected)
    no_padding = torch.zeros(BATCH, SEQ, dtype=torch.bool) if mask else None
    with torch.set_grad_enabled(grad):
        y = encoder(x, src_key_padding_mask=no_padding)
    assert_close(y, expected, factor=20)
    padding = torch.zeros(BATCH, SEQ, dtype=torch.bool)
    padding[0, -2:] = True
    for options in (
        {"src_key_padding_mask": padding},
        {"mask": nn.Transformer.generate_square_subsequent_mask(SEQ), "is_causal": True},
        {"mask": torch.eye(SEQ, dtype=torch.bool)},
    ):
        with (
            torch.set_grad_enabled(grad),
            pytest.raises(ValueError, match=r"depends on every position"),
        ):
            encoder(x, **options)


def test_a_post_norm_layer_without_feed_forward_is_the_fused_module(x: Tensor) -> None:
    built = layer(layer_norm_eps=1e-12)
    nn.init.zeros_(built.linear2.weight)
    nn.init.zeros_(built.linear2.bias)
    mixing = FusedFourierMix(HIDDEN)
    mixing.load_state_dict(built.norm1.state_dict())
    assert_close(built(x), built.norm2(mixing(x)), factor=10)


def test_a_layer_of_torch_trains(x: Tensor) -> None:
    built = layer()
    x.requires_grad_()
    y = built(x)
    g = torch.randn_like(y)
    ours = torch.autograd.grad(y, [x, *built.parameters()], g)
    expected = torch.autograd.grad(definition(built, x), [x, *built.parameters()], g)
    for mine, exact in zip(ours, expected, strict=True):
        assert_close(mine, exact, factor=50)


def test_an_encoder_of_torch_compiles_in_one_graph(x: Tensor) -> None:
    torch.compiler.reset()
    encoder = nn.TransformerEncoder(layer(), 2, enable_nested_tensor=False)
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    zeros = torch.zeros(BATCH, SEQ, dtype=torch.bool)
    for options in ({}, {"src_key_padding_mask": zeros}):
        assert_close(compiled(x, **options), encoder(x), factor=10)
    with pytest.raises(RuntimeError, match="key_padding_mask must not mask anything"):
        compiled(x, src_key_padding_mask=~zeros)


def test_attention_is_exported(x: Tensor) -> None:
    encoder = nn.TransformerEncoder(layer(), 2, enable_nested_tensor=False).eval()
    exported = torch.export.export(encoder, (x,))
    assert_close(exported.module()(x), encoder(x), factor=10)


def test_signatures_of_torch_agree() -> None:
    import inspect

    for name in ("__init__", "forward"):
        theirs = inspect.signature(getattr(nn.MultiheadAttention, name)).parameters
        ours = inspect.signature(getattr(FourierAttention, name)).parameters
        assert list(ours)[: len(theirs)] == list(theirs)
        for parameter, default in theirs.items():
            if default.default is not inspect.Parameter.empty:
                assert ours[parameter].default == default.default, parameter
    attention = nn.MultiheadAttention(HIDDEN, 4, 0.1, batch_first=True)
    fourier = FourierAttention(HIDDEN, 4, 0.1, batch_first=True)
    for attribute in ATTRIBUTES:
        assert hasattr(attention, attribute)
        value = getattr(fourier, attribute)
        assert attribute.startswith(("in_proj", "out_proj")) or value == getattr(
            attention, attribute
        )


def calls(x: Tensor) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """How ports call attention on [batch, seq, hidden]."""
    bools, ints = (
        torch.zeros(BATCH, SEQ, dtype=torch.bool),
        torch.ones(BATCH, SEQ, dtype=torch.long),
    )
    square = torch.zeros(SEQ, SEQ)
    extended = torch.zeros(BATCH, 1, 1, SEQ)
    yield "q, k, v", (x, x, x), {}
    yield "named", (), {"query": x, "key": x, "value": x}
    yield "views", (x[:], x.view_as(x), x.mT.mT), {}
    yield "as torch's layers", (x, x, x), {"attn_mask": None, "need_weights": False}
    yield "zeros", (x, x, x, bools), {"attn_mask": square, "is_causal": False}
    yield "weights", (x, x, x), {"need_weights": True, "average_attn_weights": False}
    yield "x alone", (x,), {}
    yield "mask=None", (), {"query": x, "mask": None}
    yield "mask", (), {"query": x, "mask": ints.bool()}
    yield "attention_mask", (x,), {"attention_mask": None}
    yield "of a tokenizer", (x,), {"attention_mask": ints}
    yield "extended", (x,), {"attention_mask": extended}
    yield "float ones", (x,), {"attention_mask": torch.ones(BATCH, SEQ)}
    yield "hidden_states", (), {"hidden_states": x, "attention_mask": None}
    yield (
        "BERT",
        (x, None),
        {"output_attentions": False, "past_key_values": None, "head_mask": None},
    )


@pytest.mark.parametrize("name", [name for name, *_ in calls(torch.empty(BATCH, SEQ, HIDDEN))])
def test_calls_of_ports(x: Tensor, name: str) -> None:
    args, kwargs = next(c[1:] for c in calls(x) if c[0] == name)
    found = FourierAttention(HIDDEN, batch_first=True)(*args, **kwargs)
    assert isinstance(found, tuple)
    assert found[1] is None
    assert_close(found[0], reference.fourier_mix(x))


@pytest.mark.parametrize("how", ["three views", "one view"])
def test_seq_first(x: Tensor, how: str) -> None:
    attention = FourierAttention(HIDDEN)
    given = x.transpose(0, 1)
    args = (given,) * 3 if how == "one view" else tuple(x.transpose(0, 1) for _ in range(3))
    y, _ = attention(*args)
    assert y.shape == (SEQ, BATCH, HIDDEN)
    assert_close(y.transpose(0, 1), reference.fourier_mix(x))
    assert_close(attention(given.contiguous())[0], y)
    assert not torch.allclose(FourierAttention(HIDDEN, batch_first=True)(given)[0], y)


@pytest.mark.parametrize(
    ("error", "match", "args", "kwargs"),
    [
        (ValueError, "key must be the same tensor as query", (1, 2), {}),
        (ValueError, "value must be the same tensor as query", (1, 1, 2), {}),
        (ValueError, r"key must .*pass a mask by its name", (1, torch.ones(BATCH, SEQ)), {}),
        (ValueError, "key must be the same tensor as query, .*; got list", (1, [1]), {}),
        (TypeError, "query must be a torch.Tensor, got list", ([1],), {}),
        (TypeError, "one of query and hidden_states", (), {}),
        (TypeError, "one of query and hidden_states", (1,), {"hidden_states": 1}),
        (ValueError, "is_causal must be False", (1,), {"is_causal": True}),
        (ValueError, "key_padding_mask must not", (1, 1, 1, torch.eye(SEQ).bool()), {}),
        (ValueError, "attn_mask must not", (1,), {"attn_mask": torch.full((SEQ, SEQ), -torch.inf)}),
        (ValueError, "attn_mask must not", (1,), {"attn_mask": torch.full((SEQ,), torch.nan)}),
        (TypeError, "attn_mask must be a torch.Tensor", (1,), {"attn_mask": True}),
        (ValueError, "attention_mask must not", (1,), {"attention_mask": torch.eye(SEQ).long()}),
        (ValueError, "attention_mask must not", (1,), {"attention_mask": torch.eye(SEQ)}),
        (ValueError, "attention_mask must not", (1,), {"attention_mask": -1e9 * torch.eye(SEQ)}),
        (ValueError, "attention_mask must not", (1,), {"attention_mask": torch.zeros(SEQ).long()}),
        (ValueError, "mask must not mask", (1,), {"mask": torch.zeros(SEQ, dtype=torch.bool)}),
        (TypeError, "mask must be a torch.Tensor", (1,), {"mask": "causal"}),
        (
            TypeError,
            "output_attentions must be None or False, .* got True",
            (1,),
            {"output_attentions": True},
        ),
        (TypeError, "position_bias must be None or False", (1,), {"position_bias": 1}),
    ],
)
def test_what_means_something_is_refused_in_words(
    x: Tensor, error: type[Exception], match: str, args: Any, kwargs: Any
) -> None:
    """1 stands for x, 2 for another tensor of its shape."""

    def tensors(value: Any) -> Any:
        return {1: x, 2: x.clone()}.get(value, value) if isinstance(value, int) else value

    attention = FourierAttention(HIDDEN, batch_first=True)
    args = [tensors(a) if a is not True else a for a in args]
    kwargs = {k: tensors(v) if v is not True else v for k, v in kwargs.items()}
    with pytest.raises(error, match=f"^FourierAttention: .*{match}"):
        attention(*args, **kwargs)


@pytest.mark.parametrize("shape", [(HIDDEN,), (1, 2, SEQ, HIDDEN), (BATCH, SEQ, HIDDEN + 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    for batch_first, axes in ((True, "batch, seq"), (False, "seq, batch")):
        with pytest.raises(ValueError, match=rf"\[{axes}, {HIDDEN}\] or \[seq, {HIDDEN}\]; got"):
            FourierAttention(HIDDEN, batch_first=batch_first)(torch.ones(shape))


def test_nested_tensors_are_refused() -> None:
    attention = FourierAttention(HIDDEN, batch_first=True)
    parts = [torch.ones(3, HIDDEN), torch.ones(4, HIDDEN)]
    for layout in (torch.strided, torch.jagged):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nested = torch.nested.nested_tensor(parts, layout=layout)
        with pytest.raises(TypeError, match="query must be a dense tensor, got a nested tensor"):
            attention(nested, nested, nested)


@pytest.mark.parametrize(
    ("error", "match", "args", "kwargs"),
    [
        (TypeError, "embed_dim must be an int, got str", ("24",), {}),
        (TypeError, "num_heads must be an int, got bool", (24, True), {}),
        (ValueError, "embed_dim must be at least 1, got 0", (0,), {}),
        (ValueError, "num_heads must be at least 1, got -1", (24, -1), {}),
        (ValueError, "num_heads must divide embed_dim, 24; got 5", (24, 5), {}),
        (ValueError, "add_bias_kv must be False", (24,), {"add_bias_kv": True}),
        (ValueError, "add_zero_attn must be False", (24,), {"add_zero_attn": True}),
        (ValueError, "kdim must be None or embed_dim, got 12", (24,), {"kdim": 12}),
        (ValueError, "vdim must be None or embed_dim, got 12", (24,), {"vdim": 12}),
        (TypeError, "scale must be a Python number", (24,), {"scale": "1"}),
    ],
)
def test_arguments_that_ask_for_attention_are_refused(
    error: type[Exception], match: str, args: Any, kwargs: Any
) -> None:
    with pytest.raises(error, match=f"^FourierAttention: {match}"):
        FourierAttention(*args, **kwargs)


def test_scale_dtype_and_copies(x: Tensor) -> None:
    attention = FourierAttention(HIDDEN, batch_first=True, scale=0.5, dropout=0.9)
    assert not list(attention.parameters())
    assert not attention.state_dict()
    assert_close(attention(x)[0], 0.5 * reference.fourier_mix(x))
    assert attention(x.bfloat16())[0].dtype == torch.bfloat16
    stream = io.BytesIO()
    torch.save(attention, stream)
    stream.seek(0)
    for twin in (copy.deepcopy(attention), torch.load(stream, weights_only=False)):
        assert torch.equal(twin(x)[0], attention(x)[0])
    assert repr(attention) == "FourierAttention(24, batch_first=True, scale=0.5, norm=backward)"
    with pytest.raises(TypeError, match="FourierAttention has no projections"):
        nn.functional.linear(x, attention.out_proj.weight)
    with pytest.raises(AttributeError, match="FourierAttention has no projections"):
        nn.init.xavier_uniform_(attention.out_proj.weight)


@pytest.mark.parametrize("batch_first", [True, False])
def test_norm_is_that_of_torch_fft(x: Tensor, batch_first: bool) -> None:
    x = x if batch_first else x.transpose(0, 1)
    scaled = FourierAttention(HIDDEN, batch_first=batch_first, scale=2.0, norm="ortho")
    plain = FourierAttention(HIDDEN, batch_first=batch_first)
    assert_close(scaled(x)[0], 2.0 * (SEQ * HIDDEN) ** -0.5 * plain(x)[0])
    assert "scale=2.0, norm=ortho" in repr(scaled)
    with pytest.raises(ValueError, match=r"FourierAttention: norm must be one of .* got 'x'"):
        FourierAttention(HIDDEN, norm="x")  # type: ignore[arg-type]


def test_views_of_a_tensor_without_memory() -> None:
    x = torch.empty(BATCH, SEQ, HIDDEN, device="meta")
    attention = FourierAttention(HIDDEN, batch_first=True)
    assert attention(x, x[:], x.view_as(x))[0].shape == x.shape
    for other in (torch.empty_like(x), x[:, 1:]):
        with pytest.raises(ValueError, match="key must be the same tensor as query"):
            attention(x, other)
