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
    onnx,
    reference,
)
from fnet_kernels._traced_mix import traced_fourier_mix
from fnet_kernels.mixers import list_mixers
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


def test_positions_of_packed_tokens_follow_from_their_offsets() -> None:
    model, ids = make(), packed(IDS)
    expected = model(ids, cu_seqlens=CU_SEQLENS).last_hidden_state
    positions = torch.cat([torch.arange(length) for length in LENGTHS])
    given = {"cu_seqlens": CU_SEQLENS, "position_ids": positions}
    assert torch.equal(model(ids, **given).last_hidden_state, expected)
    other = model(ids, **{**given, "position_ids": positions.flip(0)}).last_hidden_state
    assert relative_error(other, expected) > 1e-2


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
    assert torch.equal(by_zero(IDS, attention_mask=MASK)[0], by_zero(other, attention_mask=MASK)[0])


# Modules


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
        attention = FourierAttention(24, batch_first=batch_first, **options)
        assert str(options["padding"]) in repr(attention)
        query = x if batch_first else x.transpose(0, 1)
        floats = torch.zeros(4, SEQ).masked_fill(~MASK, -torch.inf)
        for mask in (~MASK, floats):
            y, _ = attention(query, query, query, key_padding_mask=mask)
            y = y if batch_first else y.transpose(0, 1)
            for i, (length, size) in enumerate(zip(LENGTHS, sizes, strict=True)):
                filled = pad(x[i, :length], (0, 0, 0, size - length))
                assert_close(y[i, :length], reference.fourier_mix(filled)[:length], factor=10)
                assert not y[i, length:].any()
        assert_close(attention(query)[0], FourierAttention(24, batch_first=batch_first)(query)[0])
        one = attention(x[1], key_padding_mask=~MASK[1])[0]
        assert_close(one, y[1])
        with pytest.raises(ValueError, match="key_padding_mask must keep the first tokens"):
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


# Configurations and checkpoints


def test_padding_is_saved(tmp_path: Path) -> None:
    model = make("FNetForMaskedLM", round_to=8)
    assert FNetConfig.from_json(model.config.to_json()) == model.config
    model.save_pretrained(tmp_path)
    assert '"model_type": "fnet_kernels"' in (tmp_path / "config.json").read_text()
    again = models.FNetForMaskedLM.from_pretrained(tmp_path)
    assert (again.config.padding, again.config.round_to) == ("exact", 8)
    given = {"attention_mask": MASK}
    expected = tensors(model(IDS, **given))
    assert all(map(torch.equal, tensors(again(IDS, **given)), expected))
    zero = models.FNetForMaskedLM.from_pretrained(tmp_path, padding="zero", round_to=None)
    assert relative_error(zero(IDS, **given).logits[1], expected[0][1]) > 1e-2


def test_transformers_knows_the_saved_padding(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from fnet_kernels import hf

    hf.register()
    for config in ({}, {"round_to": 8, "num_attention_layers": 1, "pooling": "mean"}):
        model = make(**config)
        model.save_pretrained(tmp_path)
        theirs = transformers.AutoModel.from_pretrained(tmp_path).eval()
        for x, options in (
            (IDS, {"attention_mask": MASK}),
            (packed(IDS)[None], {"cu_seq_lens_q": torch.tensor(CU_SEQLENS)}),
        ):
            got = theirs(x, **options, output_hidden_states=True)
            renamed = {k.replace("cu_seq_lens_q", "cu_seqlens"): v for k, v in options.items()}
            expected = model(x, **renamed, output_hidden_states=True)
            for a, b in zip(
                (*got.hidden_states, got.pooler_output),
                (*expected.hidden_states, expected.pooler_output),
                strict=True,
            ):
                assert relative_error(a, b) <= 1e-6

    theirs.config.padding, theirs.config.round_to = "tokens", None
    with pytest.raises(ValueError, match="cu_seqlens must be None with padding='tokens'"):
        theirs(packed(IDS)[None], cu_seq_lens_q=torch.tensor(CU_SEQLENS))


# Errors


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "lengths of tokens": (
        {"padding": "tokens"},
        {"lengths": LENGTHS},
        "FNetModel: lengths must be None with padding='tokens'",
    ),
    "offsets of tokens": (
        {"padding": "tokens"},
        {"cu_seqlens": CU_SEQLENS},
        "cu_seqlens must be None with padding='tokens'",
    ),
    "offsets of zero": (
        {"padding": "zero"},
        {"cu_seqlens": CU_SEQLENS},
        "cu_seqlens must be None with padding='zero'",
    ),
    "two": (
        {},
        {"attention_mask": MASK, "lengths": LENGTHS},
        "at most one of lengths, cu_seqlens, attention_mask must be given, got lengths and att",
    ),
    "left": (
        {},
        {"attention_mask": MASK.flip(-1)},
        "attention_mask must keep the first tokens of each row and no others .*in row 1",
    ),
    "holes": (
        {"padding": "zero"},
        {"attention_mask": torch.ones(4, SEQ).index_fill(1, torch.tensor(3), 0)},
        "attention_mask must keep the first tokens .*'zero'; got other tokens in row 0",
    ),
    "too long": ({}, {"lengths": [17, 1, 1, 1]}, "between 0 and 16, .*got 17 at index 0"),
    "negative": ({}, {"lengths": torch.tensor([1, -1, 1, 1])}, "got -1 at index 1"),
    "too few": ({}, {"lengths": [1, 2]}, "one number for each of the 4 sequences .*got 2"),
    "padded offsets": (
        {},
        {"cu_seqlens": CU_SEQLENS},
        r"the input must be packed tokens, \[total\] or \[1, total\]; got shape \(4, 16\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_an_error(case: str) -> None:
    config, given_as, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        make(**config)(IDS, **given_as)


def test_more_errors() -> None:
    flat = packed(IDS)
    with pytest.raises(ValueError, match="cu_seqlens must end at the number of rows of x, 31"):
        make()(flat, cu_seqlens=[0, 30])
    with pytest.raises(ValueError, match="max_position_embeddings=16 tokens, got 17"):
        make()(flat, cu_seqlens=[0, 17, 31])
    with pytest.raises(TypeError, match="lengths must be a list of ints, got a float"):
        make()(IDS, lengths=[1.0, 2, 3, 4])
    with pytest.raises(TypeError, match=r"key_mask must be a torch\.Tensor, got list"):
        FNetEncoder(1, 8, 8, padding="exact")(torch.randn(1, 2, 8), key_mask=[[1, 0]])
    for owner, build in (
        ("FNetEncoder", lambda **o: FNetEncoder(1, 8, 8, **o)),
        ("FNetEncoderLayer", lambda **o: FNetEncoderLayer(8, 8, **o)),
        ("FourierAttention", lambda **o: FourierAttention(8, **o)),
        ("FNetConfig", lambda **o: FNetConfig.mini(**o)),
    ):
        with pytest.raises(ValueError, match=f"{owner}: padding must be one of 'tokens', 'zero', "):
            build(padding="pad")
        with pytest.raises(ValueError, match=f"{owner}: round_to must be None with padding='zero'"):
            build(padding="zero", round_to=8)
        with pytest.raises(TypeError, match=f"{owner}: round_to must be an int"):
            build(padding="exact", round_to=1.5)


def test_nested_tensors_have_lengths_of_their_own() -> None:
    parts = [torch.randn(n, 24) for n in LENGTHS]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    for padding in ("tokens", "exact"):
        encoder = FNetEncoder(2, 24, 48, padding=padding).eval()
        for part, got in zip(parts, encoder(nested).unbind(), strict=True):
            assert relative_error(got, encoder(part[None])[0]) <= 1e-5
    with pytest.raises(ValueError, match="FNetEncoder: lengths must be None for a nested tensor"):
        encoder(nested, lengths=LENGTHS)
    with pytest.raises(ValueError, match="round_to must be None for a nested tensor"):
        FNetEncoder(1, 24, 48, padding="exact", round_to=8)(nested)


def test_sequences_may_be_empty() -> None:
    model = make(num_attention_layers=1, pooling="mean")
    ids, lengths = IDS[:2], [0, 5]
    padded = model(ids, lengths=lengths)
    flat = model(ids[1, :5], cu_seqlens=[0, 0, 5])
    expected = model(ids[1:, :5])
    assert relative_error(padded[0][1, :5], expected[0][0]) <= 1e-5
    assert relative_error(flat[0], expected[0][0]) <= 1e-5
    for result in (padded, flat):
        assert relative_error(result.pooler_output[1], expected.pooler_output[0]) <= 1e-5
        assert result.pooler_output.isfinite().all()
    assert not padded[0][0].any()
    nothing = model(ids[:0], lengths=[])
    assert nothing.last_hidden_state.shape == (0, SEQ, 64)
    none = model(ids[0, :0], cu_seqlens=[0])
    assert none.last_hidden_state.shape == (0, 64)
    assert none.pooler_output.shape == (0, 64)


# Graphs, copies, dtypes, training


@pytest.mark.parametrize(
    ("padding", "given_as", "dynamic"),
    [
        ("zero", "ones", None),
        ("exact", "ones", True),
        ("exact", "a tensor", None),
        ("exact", "a list", None),
        ("exact", "offsets", True),
    ],
)
def test_compiles_as_one_graph(padding: str, given_as: str, dynamic: bool | None) -> None:
    torch.compiler.reset()
    model = make("FNetForSequenceClassification", padding=padding, num_attention_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    options = {**GIVEN[given_as], "labels": torch.tensor([0, 1, 0, 1])}
    ids = packed(IDS) if given_as == "offsets" else IDS
    results = []
    for each in (compiled, model):
        model.zero_grad()
        output = each(ids, **options)
        output.loss.backward()
        results.append([output.logits, model.fnet.embeddings.projection.weight.grad.clone()])
    for a, b in zip(*results, strict=True):
        assert relative_error(a, b) < 1e-5
    if given_as == "ones":
        with pytest.raises(RuntimeError, match="attention_mask must keep the first tokens"):
            compiled(IDS, **{**options, "attention_mask": MASK.flip(-1).long()})


@pytest.mark.parametrize("round_to", [None, 4])
def test_the_operator_of_graphs(round_to: int | None) -> None:
    x = torch.randn(2, 5, 3, requires_grad=True, dtype=torch.float64)
    constants = torch.tensor([5, 2]), 0.5, "ortho", round_to
    torch.library.opcheck(traced_fourier_mix, (x, *constants))
    y = traced_fourier_mix(x, *constants)
    assert torch.equal(y, FourierMix(0.5, norm="ortho")(x, [5, 2], round_to))
    assert torch.autograd.gradgradcheck(lambda t: traced_fourier_mix(t, *constants), x)
    (gradient,) = torch.autograd.grad(y, x, y.detach())
    assert torch.equal(gradient, traced_fourier_mix(y.detach(), *constants))
    composed = onnx.decompositions()[torch.ops.fnet_kernels.traced_fourier_mix.default]
    for norm in ("backward", "ortho", "forward"):
        arguments = torch.randn(3, 7, 5), torch.tensor([7, 0, 4]), 0.5, norm, round_to
        assert_close(composed(*arguments), traced_fourier_mix(*arguments), factor=10)


def test_one_graph_serves_all_masks() -> None:
    torch.compiler.reset()
    model = make(round_to=4)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for lengths in ([16, 5, 1, 9], [3, 3, 16, 0], [7, 8, 9, 10]):
        mask = torch.arange(SEQ) < torch.tensor(lengths)[:, None]
        with torch.compiler.set_stance("default" if lengths == LENGTHS else "fail_on_recompile"):
            got = compiled(IDS, attention_mask=mask)
        expected = model(IDS, attention_mask=mask)
        assert relative_error(got[0], expected[0]) < 1e-5


def test_a_learned_mixer_needs_integers_in_a_graph() -> None:
    torch.compiler.reset()
    model = make(mixer="none", num_hidden_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert compiled(IDS, lengths=LENGTHS)[0].shape == (4, SEQ, 64)
    with pytest.raises(Exception, match="lengths must be a list of ints"):
        compiled(IDS, attention_mask=MASK)


@pytest.mark.parametrize("padding", ["exact", "zero"])
def test_export_with_a_dynamic_batch_and_length(padding: str) -> None:
    from torch.export import Dim, export

    model = make(padding=padding)
    sizes = {0: Dim("batch", max=64), 1: Dim("seq", min=2, max=SEQ)}
    program = export(
        model,
        (IDS,),
        {"attention_mask": MASK},
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
    )
    ids, mask = IDS[1:, :12], MASK[1:, :12]
    got, expected = (m(ids, attention_mask=mask) for m in (program.module(), model))
    for a, b in zip(tensors(got), tensors(expected), strict=True):
        assert relative_error(a, b) < 1e-5


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    model = make("FNetForMaskedLM", num_attention_layers=1).train()
    runs = []
    for model.gradient_checkpointing in (False, True):
        model.zero_grad()
        model(IDS, attention_mask=MASK, labels=IDS.where(MASK, -100)).loss.backward()
        runs.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(map(torch.equal, *runs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    model = make("FNetForTokenClassification", initializer_range=0.1)
    expected = model(IDS, attention_mask=MASK).logits
    narrow = copy.deepcopy(model).to(dtype)
    logits = narrow(IDS, attention_mask=MASK).logits
    assert logits.dtype == dtype
    assert relative_error(logits[MASK], expected[MASK]) < (1e-5 if dtype.itemsize == 8 else 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = model(IDS, attention_mask=MASK).logits
    assert relative_error(autocast[MASK], expected[MASK]) < 0.1


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_keep_the_padding(clone: Any) -> None:
    model = make(round_to=8)
    options: Any = {"attention_mask": MASK}
    assert torch.equal(clone(model)(IDS, **options)[0], model(IDS, **options)[0])


def test_padding_gets_no_gradient_and_tokens_the_sum_of_their_own() -> None:
    model = make("FNetForSequenceClassification", num_labels=3)
    x = torch.randn(4, SEQ, 64, requires_grad=True)
    weights = torch.randn(4, 3)
    (model(inputs_embeds=x, attention_mask=MASK).logits * weights).sum().backward()
    assert not x.grad[~MASK].any()
    whole = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    gradient, model_x = x.grad.clone(), x.detach()
    model.zero_grad()
    for i, length in enumerate(LENGTHS):
        own = model_x[i : i + 1, :length].requires_grad_()
        (model(inputs_embeds=own).logits * weights[i]).sum().backward()
        assert relative_error(gradient[i, :length], own.grad[0]) < 1e-4
    summed = [p.grad for p in model.parameters() if p.grad is not None]
    for a, b in zip(whole, summed, strict=True):
        assert not b.any() or relative_error(a, b) < 1e-4
