"""`patch_fnet(padding=...)` in training, in graphs, and under what drives a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from python_tests.helpers.close import relative_error
from python_tests.helpers.fnet_models import FusedCalls, results
from python_tests.helpers.padded import LENGTHS, MASK, SEQ
from python_tests.helpers.padded_models import IDS
from python_tests.helpers.patched_models import flattened, patched

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.usefixtures("one_thread")


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
    model = patched("FNetForSequenceClassification", padding, num_hidden_layers=1)
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
