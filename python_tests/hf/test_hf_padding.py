"""`patch_fnet(padding=...)`: what a result depends on, in every FNet class of transformers."""

from __future__ import annotations

import copy

import pytest
import torch

from fnet_kernels import hf
from python_tests.helpers.close import relative_error
from python_tests.helpers.fnet_models import MODELS, FusedCalls, build, results
from python_tests.helpers.padded import CU_SEQLENS, LENGTHS, MASK, assert_independent, packed
from python_tests.helpers.padded_models import IDS
from python_tests.helpers.patched_models import STATES, flattened, patched, singles

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")

ONE_ROW = [name for name in MODELS if name != "FNetForMultipleChoice"]


@pytest.mark.parametrize("round_to", [None, 4])
@pytest.mark.parametrize("name", ONE_ROW)
def test_every_class_gives_a_sequence_what_it_gives_alone(name: str, round_to: int | None) -> None:
    model = patched(name, round_to=round_to)
    expected = singles(model)
    for mask in (MASK, MASK.long(), MASK.float()):
        padded = results(model, input_ids=IDS, attention_mask=mask, **STATES)
        assert_independent(padded, expected)
    for options in ({"return_flash_attn_kwargs": True}, {}):
        row = results(model, **flattened(**options), **STATES)
        assert_independent(row, expected)
    given = {"cu_seq_lens_q": torch.tensor(CU_SEQLENS)}
    assert_independent(results(model, input_ids=packed(IDS)[None], **given, **STATES), expected)
    assert_independent(results(model, input_ids=IDS, lengths=LENGTHS, **STATES), expected)
    row = {"input_ids": packed(IDS)[None], "cu_seqlens": CU_SEQLENS}
    assert_independent(results(model, **row, **STATES), expected)
    with pytest.raises(ValueError, match="cu_seqlens must be None beside cu_seq_lens_q"):
        model(**row, **given)
    if round_to is None:  # the same as stock, one by one
        assert_independent(padded, singles(build(name)))


def test_multiple_choice() -> None:
    model = patched("FNetForMultipleChoice")
    ids, mask = (t[:, None].repeat(1, 3, 1) for t in (IDS, MASK))
    logits = model(input_ids=ids, attention_mask=mask.long()).logits
    for i, length in enumerate(LENGTHS):
        single = model(input_ids=ids[i : i + 1, :, :length].contiguous()).logits
        assert relative_error(logits[i : i + 1], single) <= 1e-5
    lengths = torch.tensor(LENGTHS)[:, None].repeat(1, 3)
    assert torch.equal(model(input_ids=ids, lengths=lengths).logits, logits)
    with pytest.raises(ValueError, match="packed tokens have no axis of choices"):
        model(input_ids=ids, cu_seq_lens_q=torch.tensor(CU_SEQLENS))


@pytest.mark.parametrize("name", ONE_ROW)
def test_every_class_in_bfloat16(name: str) -> None:
    model = patched(name).to(torch.bfloat16)
    wide = singles(copy.deepcopy(model).float())
    padded = results(model, input_ids=IDS, attention_mask=MASK, **STATES)
    assert padded[0].dtype == torch.bfloat16
    assert_independent(padded, wide, 3e-2, of_batch=True)
    assert_independent(results(model, **flattened(), **STATES), wide, 3e-2, of_batch=True)
    mixed = results(model, input_ids=IDS, **STATES)  # no mask
    with pytest.raises(AssertionError):
        assert_independent(mixed, wide, 3e-2, of_batch=True)


def test_the_property_fails_where_padding_is_mixed() -> None:
    expected = singles(patched())
    good = results(patched(), input_ids=IDS, attention_mask=MASK, **STATES)
    for bad in (
        results(patched(padding="tokens"), input_ids=IDS, attention_mask=MASK, **STATES),
        results(patched(padding="zero"), input_ids=IDS, attention_mask=MASK, **STATES),
        results(patched(), input_ids=IDS, **STATES),
        [t.roll(1, 0) for t in good],
        list(map(torch.zeros_like, good)),
    ):
        with pytest.raises(AssertionError):
            assert_independent(bad, expected)


@pytest.mark.parametrize("own", [False, True], ids=["patched", "registered"])
def test_the_loss_of_an_answer_does_not_see_padding(own: bool, registered: None) -> None:
    model = patched("FNetForQuestionAnswering")
    if own:
        config = {**model.config.to_dict(), "model_type": "fnet_kernels", "padding": "exact"}
        config = transformers.AutoConfig.for_model(**config)
        model = transformers.AutoModelForQuestionAnswering.from_config(config).eval()
    with torch.no_grad():
        model.qa_outputs.bias.add_(9)  # the logit of rows of zeros
    start, end = torch.tensor([3, 4, 0, 5]), torch.tensor([15, 2, 0, 8])
    batch = model(IDS, attention_mask=MASK, start_positions=start, end_positions=end)
    losses = [
        model(ids[None, :n], start_positions=start[i : i + 1], end_positions=end[i : i + 1]).loss
        for i, (ids, n) in enumerate(zip(IDS, LENGTHS, strict=True))
    ]
    assert relative_error(batch.loss, torch.stack(losses).mean()) < 1e-5
    row = {"input_ids": packed(IDS)[None], "cu_seqlens": CU_SEQLENS}
    flat = model(**row, start_positions=start, end_positions=end)
    assert relative_error(flat.loss, batch.loss) < 1e-5
    assert relative_error(flat.start_logits[0], batch.start_logits[MASK]) < 1e-5
    loss, *_ = model(**row, start_positions=start, end_positions=end, return_dict=False)
    assert torch.equal(loss, flat.loss)
    with pytest.raises(ValueError, match=r"end_positions .* must have shape \(4,\)"):
        model(**row, start_positions=start, end_positions=end[:1])
    assert (batch.start_logits.argmax(-1) < torch.tensor(LENGTHS)).all()
    if not own:  # as the stock class
        with pytest.raises(TypeError, match="too many positional arguments"):
            model(IDS, None, None, None, start, end, None, None, 1, 2, 3)
        with pytest.raises(TypeError, match="multiple values for argument 'input_ids'"):
            model(IDS, input_ids=IDS)


def test_zero_depends_on_the_padded_length_alone() -> None:
    model = patched("FNetForMaskedLM", "zero")
    first, second = (
        results(model, input_ids=ids, attention_mask=MASK, **STATES)
        for ids in (IDS, torch.where(MASK, IDS, 50))
    )
    assert all(map(torch.equal, first, second))
    assert not first[-1][~MASK].any()
    short = results(model, input_ids=IDS[1:2, :9], attention_mask=MASK[1:2, :9])[0]
    assert relative_error(short[0, :5], first[0][1, :5]) > 1e-2
    full = results(model, input_ids=IDS)
    assert all(map(torch.equal, full, results(patched("FNetForMaskedLM", "tokens"), input_ids=IDS)))


def test_tokens_is_the_default_and_ignores_the_mask() -> None:
    model = build()
    hf.patch_fnet(model)
    stock = results(build(), input_ids=IDS, attention_mask=MASK)
    for a, b in zip(results(model, input_ids=IDS, attention_mask=MASK), stock, strict=True):
        assert relative_error(a, b) <= 1e-5


def test_the_fused_operator_runs() -> None:
    model = patched()
    for given in ({"input_ids": IDS, "attention_mask": MASK}, flattened()):
        with FusedCalls() as calls, torch.no_grad():
            results(model, **given)
        assert calls.count >= 2
        assert all(name.startswith("fused") for name in calls.names)


def test_a_norm_that_cannot_be_fused_is_called() -> None:
    model = patched()
    expected = results(model, input_ids=IDS, attention_mask=MASK)
    calls: list[None] = []
    for layer in model.encoder.layer:
        layer.fourier.output.LayerNorm.register_forward_hook(lambda *_: calls.append(None))
    got = results(model, input_ids=IDS, attention_mask=MASK)
    assert len(calls) == 2
    for a, b in zip(got, expected, strict=True):
        assert relative_error(a, b) <= 1e-5
