"""Arguments about sequences that do not fit, and sequences without tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fnet_kernels import FNetEncoder, FNetEncoderLayer, FourierAttention, FusedFourierMix
from fnet_kernels.models import FNetConfig
from python_tests.helpers.close import relative_error
from python_tests.helpers.padded import CU_SEQLENS, LENGTHS, MASK, SEQ, packed
from python_tests.helpers.padded_models import IDS, make

pytestmark = pytest.mark.usefixtures("one_thread")


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
        "attention_mask must keep the first tokens .*'zero'; got another mask in row 0",
    ),
    "numbers of sequences": (
        {},
        {"attention_mask": MASK.long() + (torch.arange(SEQ) < 3)},
        "attention_mask must keep the first tokens of each row .* by 1 and 0, .*in row 0",
    ),
    "a fraction": (
        {"padding": "zero"},
        {"attention_mask": MASK.float() * torch.tensor([1, 0.5, 1, 1])[:, None]},
        "by 1 and 0, .*in row 1",
    ),
    "NaN": (
        {},
        {"attention_mask": MASK.float().masked_fill(~MASK, float("nan"))},
        "attention_mask must be 1 or true for tokens, .* got negative numbers or NaN",
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
    for encoder in (FNetEncoder(1, 8, 8), FNetEncoder(1, 8, 8, padding="exact")):
        with pytest.raises(TypeError, match=r"FNetEncoder: x must be a torch\.Tensor, got None"):
            encoder(None)
        with pytest.raises(ValueError, match=r"FNetEncoder: x .* two axes, .* got shape \(8,\)"):
            encoder(torch.randn(8))
        with pytest.raises(TypeError, match=r"FNetEncoder: x must be a dense .*sparse_coo"):
            encoder(torch.randn(2, 3, 8).to_sparse())
        with pytest.raises(TypeError, match=r"FNetEncoder: x .* layout=torch\.jagged"):
            encoder(torch.nested.nested_tensor([torch.randn(3, 8)]))
        with pytest.raises(TypeError, match="hidden_states must be None or a list, got tuple"):
            encoder(torch.randn(2, 3, 8), hidden_states=())
    for padding in ("tokens", "exact"):
        for whole in (FNetEncoder(1, 8, 8, padding=padding), FNetEncoderLayer(8, 8)):
            with pytest.raises(TypeError, match=r"key_mask must be a torch\.Tensor, got list"):
                whole(torch.randn(1, 2, 8), key_mask=[[1, 0]])
            with pytest.raises(ValueError, match=r"key_mask .* \(1, 2\); got shape \(1, 3\)"):
                whole(torch.randn(1, 2, 8), key_mask=torch.ones(1, 3))
    with pytest.raises(TypeError, match=r"key_padding_mask must be a torch\.Tensor .*, got list"):
        FourierAttention(8, padding="exact")(torch.randn(2, 1, 8), key_padding_mask=[[0, 1]])
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


def test_padding_without_a_mask_warns(recwarn: pytest.WarningsRecorder) -> None:
    ids = IDS.masked_fill(~MASK, 3)
    for padding, given_as in (
        ("tokens", {}),
        ("exact", {"attention_mask": MASK}),
        ("exact", {"lengths": LENGTHS}),
        ("zero", {"attention_mask": MASK}),
    ):
        make(padding=padding)(ids, **given_as)
    make()(packed(ids).index_fill(0, torch.tensor(30), 3), cu_seqlens=CU_SEQLENS)
    make()(IDS)
    make(pad_token_id=None)(ids)
    assert not recwarn
    for padding in ("zero", "exact"):
        with pytest.warns(UserWarning, match=f"input_ids end with pad_token_id=3; .*'{padding}'"):
            make(padding=padding)(ids)


def test_nested_tensors_have_lengths_of_their_own() -> None:
    parts = [torch.randn(n, 24) for n in LENGTHS]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
    for padding in ("tokens", "exact"):
        encoder = FNetEncoder(2, 24, 48, padding=padding).eval()
        for part, got in zip(parts, encoder(nested).unbind(), strict=True):
            assert relative_error(got, encoder(part[None])[0]) <= 1e-5
    with pytest.raises(ValueError, match="FNetEncoder: lengths must be None for a nested tensor"):
        encoder(nested, lengths=LENGTHS)
    with pytest.raises(ValueError, match="FNetEncoderLayer: x must have hidden size 16"):
        FNetEncoder(1, 16, 32)(nested)
    with pytest.raises(ValueError, match="x must have hidden size 16 as its last axis"):
        FusedFourierMix(16, elementwise_affine=False)(nested)
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


def test_no_packed_sequence_has_tokens() -> None:
    answers = make("FNetForQuestionAnswering", padding="exact", pooling="mean")
    none, places = torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, dtype=torch.long)
    for lengths in (None, [0, 0]):
        labels = {"start_positions": places, "end_positions": places}
        assert answers(none, lengths=lengths, **labels).start_logits.shape == (2, 0)
    model = make(padding="exact")
    out = model(torch.zeros(0, dtype=torch.long), cu_seqlens=[0, 0, 0])
    padded = model(torch.zeros(2, 1, dtype=torch.long), lengths=[0, 0])
    assert out.last_hidden_state.shape == (0, 64)
    assert torch.equal(out.pooler_output, padded.pooler_output)
