"""People train patched models: Trainer, checkpoints, adapters, ensembles."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from fnet_kernels import hf
from python_tests.helpers.close import relative_error
from python_tests.helpers.fnet_models import SEQ, FusedCalls, agree, batch, build, results

transformers = pytest.importorskip("transformers")


class Sentences(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Random token ids, whose first token is the label."""

    def __init__(self, count: int = 16) -> None:
        self.ids = torch.randint(4, 100, (count, SEQ), generator=torch.Generator().manual_seed(2))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"input_ids": self.ids[i], "labels": self.ids[i, 0] % 2}


def trainer(model: nn.Module, folder: Path, steps: int, **options: Any) -> Any:
    pytest.importorskip("accelerate")
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        save_steps=2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=3,
        **options,
    )
    return transformers.Trainer(model=model, args=arguments, train_dataset=Sentences())


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_trainer_trains_as_stock(tmp_path: Path) -> None:
    after = []
    for patch in (False, True):
        model = build("FNetForSequenceClassification", hidden_dropout_prob=0.0)
        before = weights(model)
        if patch:
            hf.patch_fnet(model)
        trainer(model, tmp_path / str(patch), 3).train()
        after.append({name: w - before[name] for name, w in weights(model).items()})
    stock, patched = after
    for name, change in stock.items():
        if change.any():
            # Adam divides by the size of a gradient, so where that is nil the sign is chance.
            assert float((patched[name] - change).abs().median()) <= 1e-5, name


def test_trainer_with_bf16_and_checkpointing_resumes(tmp_path: Path) -> None:
    options = {"bf16": True, "gradient_checkpointing": True}

    def model() -> nn.Module:
        torch.manual_seed(0)
        model = build("FNetForSequenceClassification", hidden_dropout_prob=0.1)
        hf.patch_fnet(model)
        return model

    straight, resumed = model(), model()
    start = weights(straight)
    trainer(straight, tmp_path / "straight", 4, **options).train()
    trainer(resumed, tmp_path / "resumed", 2, **options).train()
    resumed = model()
    trainer(resumed, tmp_path / "resumed", 4, **options).train(
        resume_from_checkpoint=str(tmp_path / "resumed" / "checkpoint-2")
    )
    assert len(hf.patch_fnet(resumed).unchanged) == 2
    for name, w in weights(straight).items():
        assert torch.equal(weights(resumed)[name], w), name
    norm = "fnet.encoder.layer.0.fourier.output.LayerNorm.weight"
    assert not torch.equal(start[norm], weights(straight)[norm])


def test_training_wholly_in_bfloat16() -> None:
    model = build("FNetForSequenceClassification", hidden_dropout_prob=0.0).to(torch.bfloat16)
    hf.patch_fnet(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    inputs = torch.utils.data.default_collate([Sentences()[i] for i in range(16)])
    losses = []
    for _ in range(20):
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_lora_on_the_dense_layers() -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["dense"], r=4, init_lora_weights=False)
    models = []
    for patch in (False, True):
        model = build(hidden_dropout_prob=0.0)
        if patch:
            hf.patch_fnet(model)
        torch.manual_seed(5)
        models.append(peft.get_peft_model(model, config).eval())
    stock, patched = models
    with FusedCalls() as calls:
        ours = results(patched, **batch())
    assert calls.count == 2
    agree(ours, results(stock, **batch()), 1e-5)
    for model in models:
        sum(t.square().sum() for t in results(model, **batch())).backward()
    found = {n: p.grad for n, p in patched.named_parameters() if p.grad is not None}
    assert found
    assert all("lora_" in name for name in found)
    for name, p in stock.named_parameters():
        assert (p.grad is None) == (name not in found)
        if name in found and p.grad.any():
            assert relative_error(found[name], p.grad) <= 1e-3, name
    merged = patched.merge_and_unload()
    agree(results(merged, **batch()), ours, 1e-4)


@pytest.mark.parametrize("kind", ["LNTuningConfig", "modules_to_save"])
@pytest.mark.parametrize("patch_first", [True, False])
def test_peft_wraps_the_norms(kind: str, patch_first: bool) -> None:
    peft = pytest.importorskip("peft")

    def adapt(model: nn.Module) -> Any:
        if kind == "LNTuningConfig":
            config = peft.LNTuningConfig(target_modules=["LayerNorm"])
        else:
            config = peft.LoraConfig(target_modules=["dense"], modules_to_save=["LayerNorm"])
        adapted = peft.get_peft_model(model, config)
        for name, p in adapted.named_parameters():
            if p.requires_grad and "LayerNorm" in name and name.endswith("weight"):
                nn.init.constant_(p, 2.0)
        return adapted

    plain = build(hidden_dropout_prob=0.0)
    expected = results(plain, **batch())
    stock = adapt(copy.deepcopy(plain)).eval()
    if patch_first:
        hf.patch_fnet(plain)
        patched = adapt(plain).eval()
    else:
        patched = adapt(plain).eval()
        hf.patch_fnet(patched)
    with FusedCalls() as calls:
        ours = results(patched, **batch())
    assert calls.names == ["fourier_mix"] * 2
    agree(ours, results(stock, **batch()), 1e-5)
    with pytest.raises(AssertionError):
        agree(ours, expected, 1e-2)
    ours[0].sum().backward()
    trained = [n for n, p in patched.named_parameters() if p.grad is not None and p.grad.any()]
    assert any("fourier.output.LayerNorm" in name for name in trained)
    with patched.disable_adapter(), torch.no_grad():
        agree(results(patched, **batch()), expected, 1e-5)


def test_an_ensemble_by_vmap() -> None:
    layers = []
    for seed in range(3):
        torch.manual_seed(seed)
        model = build()
        hf.patch_fnet(model)
        layer = model.encoder.layer[0].fourier
        nn.init.normal_(layer.output.LayerNorm.weight)
        layers.append(layer)
    parameters, buffers = stack_module_state(layers)
    x = torch.randn(2, SEQ, 24)

    def loss(parameters: Any, buffers: Any, x: Tensor) -> Tensor:
        return functional_call(layers[0], (parameters, buffers), (x,))[0].square().sum()

    together = vmap(grad(loss), (0, 0, None))(parameters, buffers, x)
    for i, layer in enumerate(layers):
        layer(x)[0].square().sum().backward()
        for name, p in layer.named_parameters():
            assert relative_error(together[name][i], p.grad) <= 1e-5, name
