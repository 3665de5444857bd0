"""`patch_fnet(padding=...)`: what a result depends on, in every FNet class of transformers."""

from __future__ import annotations

import copy
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fnet_kernels import hf
from python_tests.helpers.close import relative_error
from python_tests.helpers.fnet_models import MODELS, FusedCalls, build, results
from python_tests.helpers.padded import (
    CU_SEQLENS,
    LENGTHS,
    MASK,
    SEQ,
    alone,
    assert_independent,
    packed,
)

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_thread")
IDS = torch.randint(4, 100, (len(LENGTHS), SEQ), generator=torch.Generator().manual_seed(1))
STATES = {"output_hidden_states": True}


def patched(name: str = "FNetModel", padding: str = "exact", **config: Any) -> Any:
    round_to = config.pop("round_to", None)
    model = build(name, hidden_dropout_prob=0.0, **config)
    hf.patch_fnet(model, padding=padding, round_to=round_to)
    return model


def singles(model: Any) -> list[list[Tensor]]:
    return alone(lambda ids: results(model, input_ids=ids, **STATES), IDS)


def flattened(**options: Any) -> dict[str, Any]:
    """The packed row that transformers makes of the sequences."""
    rows = [{"input_ids": ids[:n].tolist()} for ids, n in zip(IDS, LENGTHS, strict=True)]
    row = transformers.DataCollatorWithFlattening(**options)(rows)
    return {name: value for name, value in row.items() if name != "labels"}


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
    if round_to is None:  # the same as stock, one by one
        assert_independent(padded, singles(build(name)))


def test_multiple_choice() -> None:
    model = patched("FNetForMultipleChoice")
    ids, mask = (t[:, None].repeat(1, 3, 1) for t in (IDS, MASK))
    logits = model(input_ids=ids, attention_mask=mask.long()).logits
    for i, length in enumerate(LENGTHS):
        single = model(input_ids=ids[i : i + 1, :, :length].contiguous()).logits
        assert relative_error(logits[i : i + 1], single) <= 1e-5
    with pytest.raises(ValueError, match="the input must be packed tokens"):
        model(input_ids=ids, cu_seq_lens_q=torch.tensor(CU_SEQLENS))


@pytest.mark.parametrize("name", ONE_ROW)
def test_every_class_in_bfloat16(name: str) -> None:
    model = patched(name).to(torch.bfloat16)
    wide = singles(copy.deepcopy(model).float())
    padded = results(model, input_ids=IDS, attention_mask=MASK, **STATES)
    assert padded[0].dtype == torch.bfloat16
    assert_independent(padded, wide, 3e-2)
    assert_independent(results(model, **flattened(), **STATES), wide, 3e-2)


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


# In place, and back


@pytest.mark.parametrize("name", MODELS)
def test_unpatch_restores_exactly(name: str) -> None:
    model, stock = patched(name), build(name, hidden_dropout_prob=0.0)
    hf.unpatch_fnet(model)
    for (path, ours), theirs in zip(model.named_modules(), stock.modules(), strict=True):
        assert type(ours) is type(theirs), path
        assert vars(ours).keys() == vars(theirs).keys(), path


def test_the_last_padding_holds() -> None:
    model = build("FNetForMaskedLM")
    given = {"input_ids": IDS, "attention_mask": MASK}
    stock = type(model)
    for padding, round_to in (("exact", None), ("exact", 4), ("zero", None), ("tokens", None)):
        report = hf.patch_fnet(model, padding=padding, round_to=round_to)
        assert report.padding == padding
        assert (f"padding='{padding}'" in str(report)) == (padding != "tokens")
        expected = patched("FNetForMaskedLM", padding, round_to=round_to)
        assert all(map(torch.equal, results(model, **given), results(expected, **given)))
        assert (type(model) is stock) == (padding == "tokens")
    assert "_fnet_padding" not in vars(model.fnet)


def test_parameters_keys_and_names_do_not_change(tmp_path: Path) -> None:
    model = build("FNetForMaskedLM")
    keys, parameters = list(model.state_dict()), dict(model.named_parameters())
    hf.patch_fnet(model, padding="exact")
    assert list(model.state_dict()) == keys
    assert all(value is parameters[name] for name, value in model.named_parameters())
    assert isinstance(model, transformers.FNetForMaskedLM)
    model.save_pretrained(tmp_path)
    assert '"FNetForMaskedLM"' in (tmp_path / "config.json").read_text()
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert type(loaded) is transformers.FNetForMaskedLM
    hf.patch_fnet(loaded, padding="exact")
    given = {"input_ids": IDS, "attention_mask": MASK}
    assert all(map(torch.equal, results(loaded, **given), results(model, **given)))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_keep_the_padding(clone: Any) -> None:
    model = patched("FNetForSequenceClassification", round_to=4)
    given = {"input_ids": IDS, "attention_mask": MASK}
    expected = results(model, **given)
    twin = clone(model)
    hf.unpatch_fnet(model)
    assert all(map(torch.equal, results(twin, **given), expected))


def test_threads_have_sequences_of_their_own() -> None:
    model = patched()
    batches = [{"input_ids": IDS[:, :n], "attention_mask": MASK[:, :n]} for n in (9, SEQ)]
    expected = [results(model, **batch)[0] for batch in batches]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            if not torch.equal(results(model, **batches[i])[0], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Training and graphs


@pytest.mark.parametrize("padding", ["exact", "zero"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing(padding: str, reentrant: bool) -> None:
    model = patched("FNetForMaskedLM", padding).train()
    given = {"input_ids": IDS, "attention_mask": MASK, "labels": IDS.where(MASK, -100)}
    runs = []
    for checkpoint in (False, True):
        if checkpoint:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model.zero_grad()
        with FusedCalls() as calls:
            model(**given).loss.backward()
        runs.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        assert calls.count >= 2 * (1 + checkpoint)
    assert all(map(torch.equal, *runs))


@pytest.mark.parametrize("padding", ["exact", "zero"])
def test_one_graph_serves_all_masks(padding: str) -> None:
    torch.compiler.reset()
    model = patched("FNetForSequenceClassification", padding)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    labels = torch.tensor([0, 1, 1, 0])
    for lengths in (LENGTHS, [3, 16, 2, 7]):
        mask = (torch.arange(SEQ) < torch.tensor(lengths)[:, None]).long()
        given = {"input_ids": IDS, "attention_mask": mask, "labels": labels}
        runs = []
        for each in (compiled, model):
            model.zero_grad()
            output = each(**given)
            output.loss.backward()
            runs.append([output.logits, model.fnet.embeddings.projection.weight.grad.clone()])
        for a, b in zip(*runs, strict=True):
            assert relative_error(a, b) <= 1e-5
    with pytest.raises(RuntimeError, match="attention_mask must keep the first tokens"):
        compiled(input_ids=IDS, attention_mask=MASK.flip(-1).long())


def test_packed_rows_compile_with_breaks() -> None:
    torch.compiler.reset()
    model = patched()
    compiled = torch.compile(model, backend="aot_eager")
    for a, b in zip(results(compiled, **flattened()), results(model, **flattened()), strict=True):
        assert relative_error(a, b) <= 1e-5


class Sentences(torch.utils.data.Dataset[dict[str, Any]]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> dict[str, Any]:
        length = 3 + i
        return {"input_ids": IDS[i % 4, :length].tolist(), "attention_mask": [1] * length}


def test_trainer_hands_the_mask_to_the_model(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    options = transformers.TrainingArguments(
        tmp_path,
        max_steps=2,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=8,
        report_to=[],
        use_cpu=True,
    )

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        assert all("attention_mask" in row for row in rows)
        fill = max(len(row["input_ids"]) for row in rows)
        padded = {
            name: torch.tensor([row[name] + [0] * (fill - len(row[name])) for row in rows])
            for name in ("input_ids", "attention_mask")
        }
        return {**padded, "labels": padded["input_ids"] % 2}

    model = patched("FNetForTokenClassification")
    arguments: Any = {"args": options, "train_dataset": Sentences(), "data_collator": collate}
    trainer = transformers.Trainer(model, **arguments)
    assert trainer.train().global_step == 2
    logits = torch.tensor(trainer.predict(Sentences()).predictions)
    model.eval()
    for i, row in enumerate(Sentences()[j] for j in range(8)):
        single = model(input_ids=torch.tensor([row["input_ids"]])).logits[0]
        assert relative_error(logits[i, : len(single)], single) <= 1e-4


def test_pipeline_in_batches() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[PAD]", "[UNK]", "[MASK]", "the", "cat", "sat", "on", "a", "mat"]
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    model = patched("FNetForMaskedLM", vocab_size=len(words), pad_token_id=0)
    fill = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, device="cpu")
    texts = ["the [MASK]", "the cat sat on a [MASK]", "a [MASK] sat"]
    for single, together in zip(map(fill, texts), fill(texts, batch_size=3), strict=True):
        assert [answer["token"] for answer in together] == [answer["token"] for answer in single]
        for a, b in zip(together, single, strict=True):
            assert a["score"] == pytest.approx(b["score"], 1e-4)


def test_lora() -> None:
    peft = pytest.importorskip("peft")
    model = patched("FNetForSequenceClassification")
    given = {"input_ids": IDS, "attention_mask": MASK}
    expected = model(**given).logits
    config = peft.LoraConfig(target_modules=["dense"], task_type="SEQ_CLS")
    adapted = peft.get_peft_model(model, config).eval()
    assert relative_error(adapted(**given).logits, expected) < 1e-6


# Errors


def test_masks_that_are_no_prefixes_are_errors() -> None:
    left, holes = MASK.flip(-1), torch.ones(4, SEQ).index_fill(1, torch.tensor(2), 0)
    for padding in ("exact", "zero"):
        for name in ("FNetModel", "FNetForMaskedLM"):
            for mask in (left, holes):
                with pytest.raises(
                    ValueError, match=r"attention_mask must keep the first tokens of each row"
                ):
                    patched(name, padding)(input_ids=IDS, attention_mask=mask)
    with pytest.raises(ValueError, match=r"shape of the input, \(4, 16\); got shape \(4, 3\)"):
        patched()(input_ids=IDS, attention_mask=MASK[:, :3])


def test_bad_arguments_are_errors() -> None:
    model = build()
    with pytest.raises(
        ValueError, match="patch_fnet: padding must be one of 'tokens', 'zero', 'ex"
    ):
        hf.patch_fnet(model, padding="none")
    with pytest.raises(ValueError, match="patch_fnet: round_to must be None with padding='tokens'"):
        hf.patch_fnet(model, round_to=8)
    with pytest.raises(ValueError, match="cu_seqlens must end at the number of rows of x, 31"):
        patched()(input_ids=packed(IDS)[None], cu_seq_lens_q=torch.tensor([0, 30]))
    with pytest.raises(ValueError, match="the input must be packed tokens"):
        patched()(input_ids=IDS, position_ids=torch.tensor([[0, 1] * 8]).expand(4, -1))
    with pytest.raises(ValueError, match="cu_seqlens must be None with padding='zero'"):
        patched(padding="zero")(**flattened(return_flash_attn_kwargs=True))


class Variant(transformers.FNetForMaskedLM):
    """A class that may not hand the mask down."""


def test_a_model_whose_layers_would_get_no_lengths_is_an_error() -> None:
    variant, hooked = build("FNetForMaskedLM"), build()
    variant.__class__ = Variant
    hooked.encoder.layer[1].forward = hooked.encoder.layer[1].forward
    skipped = build()
    skipped.encoder.layer[0].fourier.self = nn.Identity()
    cases = {
        "the model: its class is Variant": variant,
        r"encoder\.layer\.1: its forward has been replaced": hooked,
        r"encoder\.layer\.0\.fourier: its transform's class is Identity": skipped,
        r"0\.fourier: it is in no FNetModel": build().encoder.layer,
    }
    for message, model in cases.items():
        classes = [type(module) for module in model.modules()]
        with pytest.raises(ValueError, match=f"may not reach every layer; .*{message}"):
            hf.patch_fnet(model, padding="exact")
        assert [type(module) for module in model.modules()] == classes
    hf.patch_fnet(variant.fnet, padding="exact")
    states = variant.fnet(input_ids=IDS, attention_mask=MASK).last_hidden_state
    assert not states[~MASK].any()


def test_padding_without_a_mask_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import modeling_utils

    warnings: list[str] = []
    monkeypatch.setattr(modeling_utils.logger, "warning_once", warnings.append)
    model = patched(pad_token_id=3)
    model(input_ids=IDS)
    model(input_ids=IDS.where(MASK, 3), attention_mask=MASK)
    assert not warnings
    model(input_ids=IDS.where(MASK, 3))
    assert "attention_mask" in warnings[0]
