"""What models do beside what those of transformers do: mixers, hybrids, pooling, ties, graphs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fnet_kernels import FNetEncoderLayer, models
from fnet_kernels.mixers import SelfAttention, list_mixers
from fnet_kernels.models import FNetConfig
from python_tests.helpers.close import assert_close, relative_error
from python_tests.helpers.fnet_models import MODELS, batch
from python_tests.helpers.paths import ROOT

SEQ = 16
pytestmark = pytest.mark.usefixtures("one_thread")


def test_public_names_are_documented_with_an_example() -> None:
    page = (ROOT / "docs" / "api.md").read_text().splitlines()
    for name in models.__all__:
        assert f"::: fnet_kernels.models.{name}" in page
        assert name.endswith("Output") or ">>> " in (getattr(models, name).__doc__ or "")


def make(name: str = "FNetModel", **config: Any) -> Any:
    options = {"vocab_size": 100, "max_position_embeddings": SEQ, "initializer_range": 0.3}
    torch.manual_seed(0)
    return getattr(models, name)(FNetConfig.mini(**{**options, **config}))


def ids(*shape: int) -> Tensor:
    return torch.randint(4, 100, shape or (2, SEQ))


@pytest.mark.parametrize(
    ("config", "count"),
    [(FNetConfig.base(), 82_861_056), (FNetConfig.large(), 236_945_408)],
)
def test_number_of_parameters(config: FNetConfig, count: int) -> None:
    with torch.device("meta"):
        model = models.FNetModel(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_initial_values() -> None:
    config = FNetConfig(
        vocab_size=500,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_layers=1,
        initializer_range=0.1,
    )
    pretraining = models.FNetForPreTraining(config)
    classifier = models.FNetForTokenClassification(config, num_labels=300)
    parameters = {**dict(classifier.named_parameters()), **dict(pretraining.named_parameters())}
    parameters["labels"] = classifier.classifier.bias
    embeddings = pretraining.fnet.embeddings.word_embeddings.weight
    assert not embeddings[config.pad_token_id].any()
    drawn = ("intermediate.dense.bias", "query.bias", "attention.output.dense.bias")
    for name, value in parameters.items():
        if "LayerNorm" in name:
            assert value.unique().tolist() == [1.0 if name.endswith("weight") else 0.0]
        elif "projection.weight" in name:
            assert value.std().item() == pytest.approx(128**-0.5, rel=0.05)
            assert value.abs().max() <= 2 * 128**-0.5 / 0.8796
        elif name.endswith("weight") or name in ("cls.predictions.bias", "labels"):
            assert value.std().item() == pytest.approx(0.1, rel=0.15), name
        elif name.endswith(drawn):
            assert value.std().item() == pytest.approx(0.1, rel=0.25), name
        elif name.endswith(("projection.bias", "pooler.dense.bias", "transform.dense.bias")):
            assert not value.any(), name
    assert not pretraining.fnet.encoder.layer[0].output.dense.bias.any()
    with pytest.raises(TypeError, match="FNetEncoderLayer: initializer_range must be a Python num"):
        FNetEncoderLayer(8, 8, initializer_range="0.02")
    with pytest.raises(TypeError, match="attention: initializer_range must be a Python number"):
        SelfAttention(8, initializer_range=None)


@pytest.mark.parametrize("mixer", list_mixers())
def test_every_mixer_in_a_model(mixer: str) -> None:
    model = make("FNetForSequenceClassification", mixer=mixer, pooling="mean")
    x, labels = ids(), torch.tensor([0, 1])
    model(x, labels=labels).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    # A state dict holds all that a model of the same configuration needs.
    again = make("FNetForSequenceClassification", mixer=mixer, pooling="mean", num_labels=2)
    for parameter in again.parameters():
        nn.init.zeros_(parameter)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x).logits, model.eval()(x).logits)


@pytest.mark.parametrize("layout", ["bottom", "middle", "mixed", "top"])
def test_hybrids_have_attention_where_the_layout_says(layout: str) -> None:
    model = make(num_hidden_layers=4, num_attention_layers=2, attention_layout=layout)
    kinds = ["attention" if "attention" in layer._modules else "fourier" for layer in model.encoder]
    assert kinds == model.config.layer_mixers()
    assert model(ids()).last_hidden_state.isfinite().all()
    heads = [layer.attention.self.heads for layer in model.encoder if hasattr(layer, "attention")]
    assert heads == [2, 2]


@pytest.mark.parametrize("masked", [False, True])
def test_a_model_of_attention_is_bert(masked: bool) -> None:
    transformers = pytest.importorskip("transformers")
    model = make(mixer="attention", num_attention_heads=4, layer_norm_eps=0.1).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    bert = transformers.BertModel(
        transformers.BertConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            hidden_act="gelu_new",
            layer_norm_eps=0.1,
        )
    ).eval()
    bert.encoder.load_state_dict(model.encoder.state_dict())
    bert.pooler.load_state_dict(model.pooler.state_dict())
    mask = torch.ones(2, SEQ, dtype=torch.long)
    if masked:
        mask[1, 5:] = 0
    x, types = ids(), torch.zeros(2, SEQ, dtype=torch.long)
    embedded = model.embeddings(x, types, None, None)
    wide = mask[:, None, None, :].bool().expand(2, 1, SEQ, SEQ)
    expected = bert.encoder(embedded, attention_mask=wide).last_hidden_state
    output = model(x, attention_mask=mask)
    assert relative_error(output.last_hidden_state, expected) < 1e-5
    assert relative_error(output.pooler_output, bert.pooler(expected)) < 1e-5
    if masked:
        assert relative_error(model(x).last_hidden_state, expected) > 1e-3


def test_arguments_of_attention() -> None:
    model = make(mixer="attention", mixer_args={"dropout": 0.5, "num_attention_heads": 8})
    assert (model.encoder[0].attention.self.dropout, model.encoder[0].attention.self.heads) == (
        0.5,
        8,
    )
    model = make(num_attention_layers=1, attention_probs_dropout_prob=0.25, gain=0.5)
    assert model.encoder[1].attention.self.dropout == 0.25
    assert model.encoder[0].fourier.self.scale == 0.5
    with pytest.raises(ValueError, match="gain must be 'paper'"):
        make(mixer="attention", gain=0.5)
    with pytest.raises(TypeError, match="'fourier' has no argument 'base'"):
        make(mixer_args={"base": 2})


def test_mixing_takes_padding_as_tokens_and_attention_does_not() -> None:
    x, other = ids(), ids()
    mask = torch.ones(2, SEQ, dtype=torch.long)
    mask[:, 9:] = 0
    other[:, :9] = x[:, :9]
    for config, same in (({"mixer": "attention"}, True), ({}, False)):
        model = make(**config).eval()
        first, second = (model(t, attention_mask=mask).last_hidden_state[:, :9] for t in (x, other))
        assert torch.allclose(first, second, atol=1e-5) == same
    fourier = make().eval()
    assert torch.equal(fourier(x, attention_mask=mask)[0], fourier(x)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_mean_pooling(dtype: torch.dtype) -> None:
    model = make(pooling="mean").eval().to(dtype)
    x = ids(3, SEQ)
    lengths = torch.tensor([SEQ, 5, 0])
    mask = torch.arange(SEQ) < lengths[:, None]
    for given in (mask, mask.long(), mask.to(dtype), None):
        states, pooled, _ = model(x, attention_mask=given)
        kept = torch.ones_like(mask) if given is None else mask
        means = [
            s[k].double().sum(0) / max(int(k.sum()), 1) for s, k in zip(states, kept, strict=True)
        ]
        wide = copy.deepcopy(model.pooler.dense).double()
        assert_close(pooled, wide(torch.stack(means)).tanh(), factor=4)


def test_pooling_of_the_first_token() -> None:
    model = make().eval()
    states, pooled, _ = model(ids())
    assert torch.equal(pooled, model.pooler.dense(states[:, 0]).tanh())
    assert not torch.allclose(make(pooling="mean").eval()(ids())[1], pooled)


@pytest.mark.parametrize("name", ["FNetForMaskedLM", "FNetForPreTraining"])
def test_logits_of_masked_positions(name: str) -> None:
    model = make(name).eval()
    x, positions = ids(), torch.tensor([[3, 0, 15], [7, 7, 0]])
    field = 1  # logits follow the loss
    every, some = model(x)[field], model(x, masked_positions=positions)[field]
    expected = torch.stack([every[i, positions[i]] for i in range(2)])
    assert some.shape == (2, 3, 100)
    assert relative_error(some, expected) < 1e-5
    labels = torch.tensor([[5, -100, 6], [7, 8, -100]])
    in_place = torch.full((2, SEQ), -100)
    in_place[0, [3, 15]] = torch.tensor([5, 6])
    in_place[1, 7] = 7
    labels[1, 1] = -100
    more = {"next_sentence_label": torch.tensor([0, 1])} if name == "FNetForPreTraining" else {}
    gathered = model(x, labels=labels, masked_positions=positions.int(), **more).loss
    assert relative_error(gathered, model(x, labels=in_place, **more).loss) < 1e-5
    with pytest.raises(
        ValueError, match=r"masked_positions must be \[\.\.\., k\].*got shape \(3,\)"
    ):
        model(x, masked_positions=positions[0])


def tied(model: Any) -> bool:
    head = model.cls.predictions
    return (
        head.decoder.weight is model.get_input_embeddings().weight
        and head.decoder.bias is head.bias
    )


@pytest.mark.parametrize("name", ["FNetForMaskedLM", "FNetForPreTraining"])
def test_tied_weights_stay_tied(name: str) -> None:
    model = make(name)
    state = model.state_dict()
    assert tied(model)
    assert tied(copy.deepcopy(model))
    assert tied(pickle.loads(pickle.dumps(model)))
    assert tied(model.to(torch.float64).to("cpu"))
    for assign in (False, True):
        other = make(name)
        other.load_state_dict({k: v + 1 for k, v in state.items()}, assign=assign)
        assert tied(other)
        wrapped = nn.Sequential(make(name))
        wrapped.load_state_dict({f"0.{k}": v for k, v in state.items()}, assign=assign)
        assert tied(wrapped[0])
    with torch.device("meta"):
        empty = make(name)
    assert tied(empty)
    assert all(parameter.is_meta for parameter in empty.parameters())
    wrapped = nn.Sequential(empty).to_empty(device="cpu")
    assert tied(wrapped[0])
    empty.load_state_dict(state)
    x = ids()
    assert torch.equal(empty.eval()(x)[1], make(name).eval()(x)[1])
    # The gradients of both uses add up in one parameter.
    count = len(list(model.parameters()))
    assert count == len(state) - 2


def test_input_embeddings_can_be_replaced() -> None:
    model = make("FNetForMaskedLM").eval()
    table = nn.Embedding(100, 64)
    model.set_input_embeddings(table)
    assert model.get_input_embeddings() is table
    assert tied(model)
    body = make()
    body.set_input_embeddings(table)
    assert body.get_input_embeddings() is table
    with pytest.raises(ValueError, match=r"shape \(100, 64\), .*got \(7, 64\)"):
        model.set_input_embeddings(nn.Embedding(7, 64))


def test_wrapped_output_layers_keep_their_parameters() -> None:
    model = make("FNetForMaskedLM")
    model.cls.predictions.decoder = nn.Sequential(model.cls.predictions.decoder)
    keys = list(model.state_dict())
    model.to(torch.float64)
    assert list(model.state_dict()) == keys
    model = make("FNetForMaskedLM")
    nn.utils.parametrizations.weight_norm(model.get_input_embeddings())
    before = model(x := ids()).logits.shape
    assert model.to(torch.float64)(x).logits.shape == before


def test_num_labels() -> None:
    config = FNetConfig.mini()
    for name in ("FNetForSequenceClassification", "FNetForTokenClassification"):
        model = getattr(models, name)(config, num_labels=5)
        assert model.config.num_labels == model.classifier.out_features == 5
        assert getattr(models, name)(config).classifier.out_features == config.num_labels == 2
        with pytest.raises(ValueError, match="num_labels must be at least 1, got 0"):
            getattr(models, name)(config, num_labels=0)


def test_bad_inputs_are_errors() -> None:
    model = make("FNetForMaskedLM").eval()
    x = ids()
    for both in ({}, {"input_ids": x, "inputs_embeds": torch.randn(2, SEQ, 64)}):
        with pytest.raises(ValueError, match="input_ids or inputs_embeds must be given, got "):
            model(**both)
    with pytest.raises(ValueError, match="max_position_embeddings=16 tokens, got 17"):
        model(ids(2, 17))
    with pytest.raises(
        ValueError, match=r"attention_mask must have .*\(2, 16\); got shape \(16,\)"
    ):
        model(x, attention_mask=torch.ones(SEQ))
    with pytest.raises(
        ValueError, match=r"token_type_ids must have .*\(2, 16\); got shape \(2, 3\)"
    ):
        model(x, token_type_ids=torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"hidden_size=64\], got shape \(2, 16, 3\)"):
        model(inputs_embeds=torch.randn(2, SEQ, 3))
    with pytest.raises(TypeError, match=r"input_ids must be a torch\.Tensor, got list"):
        model(x.tolist())
    with pytest.raises(TypeError, match=r"input_ids must be int64 or int32, got torch\.float32"):
        model(x.float())
    with pytest.raises(TypeError, match="lables"):
        model(x, lables=x)
    with pytest.raises(TypeError, match="positional"):
        model(x, torch.ones_like(x))


def test_longer_models() -> None:
    model = make(max_position_embeddings=4096).eval()
    assert model(ids(1, 4096)).last_hidden_state.shape == (1, 4096, 64)


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


@pytest.mark.parametrize(
    "name", ["FNetForPreTraining", "FNetForSequenceClassification", "FNetForQuestionAnswering"]
)
def test_compiles_as_one_graph(name: str) -> None:
    torch.compiler.reset()
    model = make(name, hidden_dropout_prob=0.0, num_attention_layers=1, pooling="mean").eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    inputs = {**batch(name), **MODELS[name], "output_hidden_states": True}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    expected, got = model(**inputs), compiled(**inputs)
    assert type(got) is type(expected)
    assert len(got.hidden_states) == 3
    assert relative_error(got[1], expected[1]) < 1e-5
    got[0].sum().backward()
    assert model.fnet.encoder[0].output.dense.weight.grad.any()


@pytest.mark.parametrize("name", ["FNetForMaskedLM", "FNetForSequenceClassification"])
def test_export_with_a_dynamic_batch_and_length(name: str) -> None:
    from torch.export import Dim, export

    model = make(name, num_attention_layers=1, pooling="mean").eval()
    sizes = {0: Dim("batch", max=64), 1: Dim("seq", min=2, max=SEQ)}
    x = ids(3, 12)
    program = export(
        model,
        (x,),
        {"attention_mask": torch.ones_like(x)},
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
    )
    x = ids(2, 9)
    mask = torch.ones_like(x)
    mask[1, 4:] = 0
    got, expected = (m(x, attention_mask=mask) for m in (program.module(), model))
    assert relative_error(got.logits, expected.logits) < 1e-5
    fused = [n for n in program.graph.nodes if "fused_fourier_mix" in str(n.target)]
    assert len(fused) == 1


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
