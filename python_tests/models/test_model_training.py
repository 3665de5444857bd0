"""Training of models: gradients, dtypes, autocast and the Trainer of transformers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from python_tests.helpers.close import relative_error
from python_tests.helpers.fnet_models import MODELS, batch
from python_tests.helpers.mini_models import SEQ, ids, make

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("attention", [0, 1])
def test_gradient_checkpointing_gives_the_same_gradients(attention: int) -> None:
    config = {"num_attention_layers": attention, "attention_probs_dropout_prob": 0.0}
    model = make("FNetForMaskedLM", hidden_dropout_prob=0.0, **config).train()
    x = ids()
    inputs = {"attention_mask": torch.ones_like(x), "output_hidden_states": True, "labels": x}
    runs = []
    for model.gradient_checkpointing in (False, True):
        assert model.fnet.gradient_checkpointing == model.gradient_checkpointing
        calls: list[None] = []
        hook = model.fnet.encoder[0].register_forward_pre_hook(
            lambda *_, calls=calls: calls.append(None)
        )
        model.zero_grad()
        output = model(x, **inputs)
        output.loss.backward()
        hook.remove()
        assert len(output.hidden_states) == 3
        assert len(calls) == (2 if model.gradient_checkpointing else 1)
        runs.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for plain, checkpointed in zip(*runs, strict=True):
        assert torch.equal(plain, checkpointed)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_dtypes(name: str, dtype: torch.dtype) -> None:
    config = {"hidden_dropout_prob": 0.0, "initializer_range": 0.02, "num_attention_layers": 1}
    single = make(name, attention_probs_dropout_prob=0.0, **config)
    model = copy.deepcopy(single).to(dtype)
    inputs = {**batch(name), **MODELS[name]}
    out, expected = model(**inputs), single(**inputs)
    logits = 0 if name == "FNetModel" else 1
    assert out[logits].dtype == dtype
    assert out[0].dtype == dtype
    assert relative_error(out[logits], expected[logits]) < (1e-5 if dtype.itemsize == 8 else 0.1)
    out[0].float().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.get_input_embeddings().weight.grad.any()


def test_autocast_trains_in_bfloat16() -> None:
    model = make("FNetForMaskedLM", num_attention_layers=1)
    x = ids()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x, labels=x)
    output.loss.backward()
    assert output.logits.dtype == torch.bfloat16
    assert model.get_input_embeddings().weight.grad.dtype == torch.float32


def test_dropout_acts_on_the_projected_embeddings() -> None:
    model = make(hidden_dropout_prob=1.0)
    torch.nn.init.ones_(model.embeddings.projection.bias)
    x = ids()
    assert not model.train().embeddings(x, None, None, None).any()
    assert model.eval().embeddings(x, None, None, None).any()


@pytest.mark.parametrize("kind", ["SequenceClassification", "TokenClassification"])
def test_dropout_acts_before_the_classifier(kind: str) -> None:
    model = make(f"FNetFor{kind}", hidden_dropout_prob=1.0, num_labels=3)
    torch.nn.init.ones_(model.fnet.encoder[-1].output.LayerNorm.bias)  # else zeros are dropped
    logits, bias = model.train()(ids()).logits, model.classifier.bias
    assert torch.equal(logits, bias.expand_as(logits))
    assert not torch.equal(model.eval()(ids()).logits, logits)


def test_the_row_of_padding_gets_no_gradient_from_the_input() -> None:
    model = make()
    model(torch.full((1, SEQ), 3)).last_hidden_state.square().sum().backward()
    assert not model.get_input_embeddings().weight.grad.any()
    model = make(pad_token_id=None)
    model(torch.full((1, SEQ), 3)).last_hidden_state[0, 0, 0].backward()
    assert model.get_input_embeddings().weight.grad.any()


def test_a_model_learns() -> None:
    model = make("FNetForSequenceClassification", initializer_range=0.02, hidden_dropout_prob=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    x = ids(32, SEQ)
    labels = (x[:, 0] > 50).long()
    first = None
    for _ in range(30):
        loss = model(x, labels=labels).loss
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < first / 3


def test_trainer_takes_a_model_as_it_is(tmp_path: Any) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    model = make("FNetForSequenceClassification")
    rows = [{"input_ids": ids(SEQ), "labels": torch.tensor(i % 2)} for i in range(8)]
    options = transformers.TrainingArguments(
        tmp_path, max_steps=3, per_device_train_batch_size=4, report_to=[], use_cpu=True
    )

    def metrics(prediction: Any) -> dict[str, float]:
        logits, hidden_states = prediction.predictions
        assert hidden_states == ()
        return {"accuracy": float((logits.argmax(-1) == prediction.label_ids).mean())}

    trainer = transformers.Trainer(
        model, options, train_dataset=rows, eval_dataset=rows, compute_metrics=metrics
    )
    assert trainer.train().global_step == 3
    logits = model.eval()(torch.stack([row["input_ids"] for row in rows])).logits
    expected = (logits.argmax(-1) == torch.arange(8) % 2).double().mean().item()
    assert trainer.evaluate()["eval_accuracy"] == expected


def test_trainer_cannot_save_tied_weights(tmp_path: Any) -> None:
    """docs/models.md says what to do; transformers saves tensors that share memory for its own."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    model = make("FNetForMaskedLM")
    rows = [{"input_ids": ids(SEQ), "labels": ids(SEQ)} for _ in range(8)]
    options = transformers.TrainingArguments(
        tmp_path, max_steps=2, save_strategy="no", report_to=[], use_cpu=True
    )
    trainer = transformers.Trainer(model, options, train_dataset=rows)
    assert trainer.train().global_step == 2
    with pytest.raises(RuntimeError, match="share memory"):
        trainer.save_model()
    model.save_pretrained(tmp_path / "model")
    again = type(model).from_pretrained(tmp_path / "model")
    assert all(map(torch.equal, again.state_dict().values(), model.state_dict().values()))
