"""Patched `transformers` models agree with stock models and can be restored exactly."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fnet_kernels import hf
from python_tests.helpers.fnet_models import (
    LABELS,
    MODELS,
    FusedCalls,
    agree,
    batch,
    build,
    results,
)
from python_tests.helpers.forks import Forks

transformers = pytest.importorskip("transformers")


def test_the_comparison_rejects_differences() -> None:
    model = build()
    expected = results(model, **batch())
    mutants = [
        torch.zeros_like,
        lambda t: t.roll(1, -1),
        lambda t: t.index_fill(0, torch.tensor(0), float("nan")),
        lambda t: t + 4e-2 * t.abs().max(),
    ]
    for mutant in mutants:
        with pytest.raises(AssertionError):
            agree([*expected[:-1], mutant(expected[-1])], expected, 3e-2)
    with pytest.raises(AssertionError):
        agree(expected[:-1], expected, 3e-2)
    for layer in model.encoder.layer:
        layer.fourier.output.LayerNorm.eps = 1e-12
    with pytest.raises(AssertionError):
        agree(results(model, **batch()), expected, 1e-5)


def test_all_classes_are_tested() -> None:
    from transformers.models.fnet import modeling_fnet

    concrete = {name for name in modeling_fnet.__all__ if name.startswith(("FNetModel", "FNetFor"))}
    assert concrete == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_every_class_in_eval_and_train(name: str) -> None:
    stock = build(name, hidden_dropout_prob=0.0)
    patched = copy.deepcopy(stock)
    report = hf.patch_fnet(patched)
    assert len(report.changed) == 2
    assert not report.skipped
    inputs = {**batch(name), **MODELS[name], "output_hidden_states": True}
    with FusedCalls() as calls, torch.no_grad():
        ours = results(patched, **inputs)
    assert calls.count == 2
    with torch.no_grad():
        agree(ours, results(stock, **inputs), 1e-5)

    gradients = []
    for model in (patched, stock):
        model.train()
        model.zero_grad()
        sum(t.float().square().sum() for t in results(model, **inputs)).backward()
        gradients.append({k: p.grad for k, p in model.named_parameters() if p.grad is not None})
    ours_by_name, expected_by_name = gradients
    assert ours_by_name.keys() == expected_by_name.keys()
    scale = max(float(g.abs().max()) for g in expected_by_name.values())
    for key, expected in expected_by_name.items():
        assert float((ours_by_name[key] - expected).abs().max()) <= 1e-4 * scale, key


@pytest.mark.parametrize("name", MODELS)
def test_every_class_in_bfloat16_where_stock_raises(name: str) -> None:
    stock = build(name).to(torch.bfloat16)
    wide = results(copy.deepcopy(stock).float(), **batch(name))  # from the same rounded weights
    with pytest.raises(RuntimeError, match="BFloat16"):
        stock(**batch(name))
    hf.patch_fnet(stock)
    ours = results(stock, **batch(name))
    assert ours[0].dtype == torch.bfloat16
    agree(ours, wide, 3e-2)
    stock.train()
    ours = results(stock, **batch(name))
    sum(t.float().square().sum() for t in ours).backward()
    for key, parameter in stock.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("train", [False, True])
def test_torch_compile_in_one_graph(train: bool) -> None:
    torch.compiler.reset()
    model = build(hidden_dropout_prob=0.0).train(train)
    expected = results(model, **batch())
    hf.patch_fnet(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    agree(results(compiled, **batch()), expected, 1e-5)


def test_gradient_checkpointing() -> None:
    model = build("FNetForMaskedLM", hidden_dropout_prob=0.0).train()
    hf.patch_fnet(model)
    inputs = {**batch(), "labels": LABELS}
    model(**inputs).loss.backward()
    plain = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    assert any(name.endswith("fourier.output.LayerNorm.weight") for name in plain)
    model.zero_grad()
    model.gradient_checkpointing_enable()
    model(**inputs).loss.backward()
    parameters = dict(model.named_parameters())
    for name, grad in plain.items():
        assert torch.equal(parameters[name].grad, grad), name


def test_parameters_and_keys_do_not_change() -> None:
    model = build()
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    keys, modules = list(model.state_dict()), dict(model.named_modules())
    hf.patch_fnet(model)
    assert list(model.state_dict()) == keys
    for before, after in (
        (parameters, model.named_parameters()),
        (buffers, model.named_buffers()),
        (modules, model.named_modules()),
    ):
        after = dict(after)
        assert before.keys() == after.keys()
        assert all(after[name] is value for name, value in before.items())


def test_save_and_load_both_ways(tmp_path: Path) -> None:
    model = build("FNetForMaskedLM")
    expected = results(model, **batch())
    hf.patch_fnet(model)
    model.save_pretrained(tmp_path)  # the saved model is patched, the loaded one stock
    loaded = transformers.FNetForMaskedLM.from_pretrained(tmp_path).eval()
    agree(results(loaded, **batch()), expected, 1e-6)
    assert len(hf.patch_fnet(loaded).changed) == 2
    agree(results(loaded, **batch()), expected, 1e-5)


def test_patching_twice_has_no_further_effect() -> None:
    model = build()
    first, second = hf.patch_fnet(model), hf.patch_fnet(model)
    assert (
        first.changed == second.unchanged == ("encoder.layer.0.fourier", "encoder.layer.1.fourier")
    )
    assert second.changed == ()
    assert str(first) == "patched 2 FNet layers"
    assert str(second) == "patched 0 FNet layers, 2 already patched"


def test_unpatch_restores_exactly() -> None:
    model = build()
    stock = copy.deepcopy(model)
    expected = results(model, **batch())
    hf.patch_fnet(model)
    report = hf.unpatch_fnet(model)
    assert report.changed == ("encoder.layer.0.fourier", "encoder.layer.1.fourier")
    assert str(hf.unpatch_fnet(model)) == "unpatched 0 FNet layers, 2 already unpatched"
    for (name, ours), theirs in zip(model.named_modules(), stock.modules(), strict=True):
        assert type(ours) is type(theirs), name
        assert vars(ours).keys() == vars(theirs).keys(), name
    with FusedCalls() as calls:
        assert all(map(torch.equal, results(model, **batch()), expected))
    assert calls.count == 0


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_a_patched_model_are_independent(clone: Any) -> None:
    model = build()
    hf.patch_fnet(model)
    twin = clone(model)
    nn.init.zeros_(model.encoder.layer[0].fourier.output.LayerNorm.weight)
    with FusedCalls() as calls:
        ours = results(twin, **batch())
    assert calls.count == 2
    agree(ours, results(build(), **batch()), 1e-5)


def test_tpu_optimized_layers_are_skipped() -> None:
    pytest.importorskip("scipy")
    model = build(use_tpu_fourier_optimizations=True)
    expected = results(model, **batch())
    with pytest.warns(UserWarning, match=r"skipped 2 FNet layers.*use_tpu_fourier_optimizations"):
        report = hf.patch_fnet(model)
    assert report.changed == ()
    assert list(report.skipped) == ["encoder.layer.0.fourier", "encoder.layer.1.fourier"]
    assert hash(report) == hash(dataclasses.replace(report, skipped={}))
    assert "use_tpu_fourier_optimizations" in str(report)
    with FusedCalls() as calls:
        assert all(map(torch.equal, results(model, **batch()), expected))
    assert calls.count == 0


def test_layers_that_compute_something_else_are_skipped() -> None:
    model = build(num_hidden_layers=6)
    layers = [layer.fourier for layer in model.encoder.layer]
    layers[0].forward = lambda hidden_states: (hidden_states,)
    layers[1].self.fourier_transform.keywords["dim"] = (1,)
    layers[2].self = nn.Identity()
    layers[3].self.forward = lambda hidden_states: (hidden_states,)
    layers[4].__class__ = type("Variant", (type(layers[4]),), {})
    with pytest.warns(UserWarning, match="patch_fnet: skipped 5 FNet layers"):
        report = hf.patch_fnet(model)
    assert report.changed == ("encoder.layer.5.fourier",)
    reasons = list(report.skipped.values())
    assert reasons[0] == "its forward has been replaced"
    assert "dim=(1,)" in reasons[1]
    assert reasons[2] == "its transform's class is Identity"
    assert reasons[3] == "its transform's forward has been replaced"
    assert reasons[4] == "its class is Variant"


def test_unpatch_skips_what_another_program_has_changed_since() -> None:
    model = build(num_hidden_layers=4)
    hf.patch_fnet(model)
    layers = [layer.fourier for layer in model.encoder.layer]
    layers[0].forward = layers[0].forward  # what accelerate wraps is the patched forward
    layers[1].__class__ = type("FSDPLayer", (type(layers[1]),), {})
    layers[2].self.forward = layers[2].self.forward
    with pytest.warns(UserWarning, match="unpatch_fnet: skipped 3 FNet layers"):
        report = hf.unpatch_fnet(model)
    assert report.changed == ("encoder.layer.3.fourier",)
    assert list(report.skipped.values()) == [
        "its forward has been replaced",
        "its class is FSDPLayer",
        "its transform's forward has been replaced",
    ]
    assert len(hf.patch_fnet(model).unchanged) == 3


def test_autocast_keeps_the_residual_stream() -> None:
    model = build()
    with torch.autocast("cpu", torch.bfloat16):
        stock = results(model, **batch())
        hf.patch_fnet(model)
        ours = results(model, **batch())
    assert [t.dtype for t in ours] == [t.dtype for t in stock]
    exact = results(hf.unpatch_fnet(model) and model, **batch())
    for mine, theirs, expected in zip(ours, stock, exact, strict=True):
        # At most 1.5 times the error of the stock model, which shares all other layers.
        assert (mine - expected).abs().max() <= 1.5 * (theirs - expected).abs().max()


def test_a_model_inside_another_module() -> None:
    model = nn.ModuleDict({"left": build(), "right": nn.Linear(2, 2)})
    assert len(hf.patch_fnet(model).changed) == 2


def test_a_model_without_fnet_layers_is_an_error() -> None:
    bert = transformers.BertModel(
        transformers.BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1)
    )
    for function in (hf.patch_fnet, hf.unpatch_fnet):
        with pytest.raises(ValueError, match=f"{function.__name__}: BertModel has no FNet layers"):
            function(bert)
        with pytest.raises(TypeError, match="got str"):
            function("google/fnet-base")  # type: ignore[arg-type]


def test_a_report_is_no_model_and_says_so() -> None:
    model = build()
    for change in (hf.patch_fnet, hf.unpatch_fnet):
        report = change(model)
        hint = "patch_fnet and unpatch_fnet change the model in place and return a report"
        with pytest.raises(TypeError, match=hint):
            report(**batch())  # type: ignore[operator]
        with pytest.raises(AttributeError, match=f"no attribute 'eval': {hint}"):
            report.eval()  # type: ignore[attr-defined]
        assert not hasattr(report, "parameters")
        assert copy.deepcopy(report) == pickle.loads(pickle.dumps(report)) == report


def test_layers_are_known_after_their_module_is_reloaded() -> None:
    from fnet_kernels.hf import _layer

    model = build()
    expected = results(model, **batch())
    hf.patch_fnet(model)
    importlib.reload(_layer)
    importlib.reload(hf)
    assert len(hf.patch_fnet(model).unchanged) == 2
    assert len(hf.unpatch_fnet(model).changed) == 2
    assert all(map(torch.equal, results(model, **batch()), expected))
    assert len(hf.patch_fnet(model).changed) == 2


def test_patching_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hf.patch_fnet(build())


def test_transformers_is_imported_late(forks: Forks) -> None:
    script = "import sys, fnet_kernels; sys.exit('transformers' in sys.modules)"
    assert forks.run(script).returncode == 0
