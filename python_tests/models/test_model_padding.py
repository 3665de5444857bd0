"""With padding="exact", models give a sequence in a batch what they give it alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from fnet_kernels import FNetEncoder
from fnet_kernels.mixers import list_mixers
from python_tests.helpers.close import assert_close, relative_error
from python_tests.helpers.fnet_models import MODELS
from python_tests.helpers.padded import (
    CU_SEQLENS,
    LENGTHS,
    MASK,
    SEQ,
    alone,
    assert_independent,
    packed,
)
from python_tests.helpers.padded_models import GIVEN, IDS, caller, make, tensors

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_positions_that_start_again_pack_tokens() -> None:
    model = make()
    ids = packed(IDS)
    positions = torch.cat([torch.arange(n) for n in LENGTHS])
    expected = tensors(model(ids, cu_seqlens=CU_SEQLENS))
    for row, given_positions in ((ids, positions), (ids[None], positions[None])):
        found = model(row, position_ids=given_positions)
        assert_independent(tensors(found), alone(caller(model), IDS))
        assert torch.equal(found.pooler_output, expected[1])
    rising = torch.arange(len(ids))[None] % SEQ
    assert not torch.equal(model(ids[None], position_ids=rising).pooler_output, expected[1])
    with pytest.raises(ValueError, match=r"position_ids that start again .* of shape \(4, 16\)"):
        model(IDS, position_ids=torch.zeros(4, SEQ, dtype=torch.int64))
    mixed = make(padding="tokens")(ids[None], position_ids=positions[None])
    assert mixed.pooler_output.shape == (1, 64)  # positions alone


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
    if name == "FNetForMultipleChoice":
        ids = torch.stack([IDS.roll(choice, 1) for choice in range(3)], 1)
        output = model(ids, attention_mask=MASK[:, None].expand(-1, 3, -1)).logits
        single = [model(ids[i, :, :n]).logits for i, n in enumerate(LENGTHS)]
        assert relative_error(output, torch.stack(single)) <= 1e-5
        lengths = torch.tensor(LENGTHS)[:, None].expand(-1, 3)
        assert relative_error(model(ids, lengths=lengths).logits, output) <= 1e-6
        return
    expected = alone(caller(model), IDS)
    assert_independent(tensors(model(IDS, attention_mask=MASK)), expected)
    assert_independent(tensors(model(packed(IDS), cu_seqlens=CU_SEQLENS)), expected)


@pytest.mark.parametrize("padding", ["exact", "zero"])
def test_the_loss_of_an_answer_does_not_see_padding(padding: str) -> None:
    model = make("FNetForQuestionAnswering", padding=padding)
    with torch.no_grad():
        model.qa_outputs.bias.add_(9)  # the logit of rows of zeros
    start, end = torch.tensor([3, 4, 7, 5]), torch.tensor([15, 9, 0, 8])  # two past their texts
    labels = {"start_positions": start, "end_positions": end}

    batch = model(IDS, attention_mask=MASK, **labels)
    expected = torch.zeros(())
    for logits, places in ((batch.start_logits, start), (batch.end_logits, end)):
        assert (logits.argmax(-1) < torch.tensor(LENGTHS)).all()
        rows = zip(logits, places, LENGTHS, strict=True)
        known = [cross_entropy(row[:n], place) for row, place, n in rows if place < n]
        assert len(known) == 3
        expected = expected + sum(known) / 6
    assert_close(batch.loss, expected, 10)
    assert_close(model(IDS, lengths=LENGTHS, **labels).loss, expected, 10)
    if padding == "exact":
        flat = model(packed(IDS), cu_seqlens=CU_SEQLENS, **labels)
        assert_close(flat.loss, expected, 10)
        assert_close(flat.start_logits, packed(batch.start_logits), 10)


def test_a_mixer_of_one_length_is_not_called_for_no_tokens() -> None:
    encoder = FNetEncoder(1, 8, 16, mixer="circulant", seq_len=4, padding="exact").eval()
    x = torch.randn(2, 4, 8)
    y = encoder(x, lengths=[4, 0])
    assert relative_error(y[0], encoder(x[:1])[0]) < 1e-5
    assert not y[1].any()


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
