"""What programs do to the LayerNorm of a patched layer counts, whenever they do it.

Liger-Kernel#631, verl#7427, transformers#46978: patches that read a weight past its module break
when another program shards, offloads, wraps or replaces that module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_full_backward_hook,
)
from torch.nn.utils import parametrizations, parametrize, prune

from fnet_kernels import FNetEncoderLayer, hf
from python_tests.helpers.fnet_models import SEQ, FusedCalls, agree, batch, build, results

pytest.importorskip("transformers")


class Doubled(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Wrapped(nn.Module):
    """As LN tuning of peft wraps a LayerNorm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.norm(x)


class Scaled(nn.Module):
    """A parametrization."""

    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


class Doubling(Tensor):
    """A tensor subclass that changes what is computed with it."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = super().__torch_function__(func, types, args, kwargs or {})
        return 2 * result.as_subclass(Tensor) if func is nn.functional.layer_norm else result


#: What a program does to the output module of a layer; each changes the numbers.
CHANGES: dict[str, Callable[[Any], object]] = {}


def change(function: Callable[[Any], object]) -> Callable[[Any], object]:
    CHANGES[function.__name__] = function
    return function


@change
def rms_norm(output: Any) -> None:
    output.LayerNorm = nn.RMSNorm(24, eps=0.1)


@change
def subclass(output: Any) -> None:
    output.LayerNorm = Doubled(24, eps=0.1)


@change
def identity(output: Any) -> None:
    output.LayerNorm = nn.Identity()


@change
def wrapper(output: Any) -> None:
    output.LayerNorm = Wrapped(output.LayerNorm)


@change
def over_two_axes(output: Any) -> None:
    output.LayerNorm = nn.LayerNorm((SEQ, 24))


@change
def without_affine(output: Any) -> None:
    output.LayerNorm = nn.LayerNorm(24, eps=50.0, elementwise_affine=False)


@change
def without_bias(output: Any) -> None:
    output.LayerNorm = nn.LayerNorm(24, eps=50.0, bias=False)


@change
def another_eps(output: Any) -> None:
    output.LayerNorm.eps = 50.0


@change
def another_weight(output: Any) -> None:
    output.LayerNorm.weight = nn.Parameter(torch.full((24,), 2.0))


@change
def a_tensor_as_weight(output: Any) -> None:  # FSDP1 leaves one
    weight = output.LayerNorm._parameters.pop("weight")
    output.LayerNorm.weight = 2 * weight.detach()


@change
def a_tensor_subclass_as_weight(output: Any) -> None:
    output.LayerNorm.weight = nn.Parameter(torch.ones(24).as_subclass(Doubling))


@change
def a_forward_of_its_own(output: Any) -> None:
    forward = output.LayerNorm.forward
    output.LayerNorm.forward = lambda x: 2 * forward(x)


@change
def a_forward_around_it(output: Any) -> None:
    output.forward = lambda hidden_states, input_tensor: output.LayerNorm(hidden_states)


@change
def forward_hook(output: Any) -> None:
    output.LayerNorm.register_forward_hook(lambda module, args, y: 2 * y)


@change
def forward_pre_hook(output: Any) -> None:
    output.LayerNorm.register_forward_pre_hook(lambda module, args: (args[0].abs(),))


@change
def forward_hook_around_it(output: Any) -> None:
    output.register_forward_hook(lambda module, args, y: 2 * y)


@change
def parametrization(output: Any) -> None:
    parametrize.register_parametrization(output.LayerNorm, "weight", Scaled())


@change
def weight_norm(output: Any) -> None:
    norm = parametrizations.weight_norm(output.LayerNorm, dim=None)
    nn.init.constant_(norm.parametrizations.weight.original0, 3.0)


@change
def pruning(output: Any) -> None:
    prune.custom_from_mask(output.LayerNorm, "weight", torch.arange(24) % 2)


#: These leave an nn.LayerNorm that the fused operator can replace.
STILL_FUSED = {
    "without_affine",
    "without_bias",
    "another_eps",
    "another_weight",
    "a_tensor_as_weight",
}


def outputs(model: nn.Module) -> list[nn.Module]:
    return [layer.fourier.output for layer in model.encoder.layer]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", CHANGES)
def test_the_norm_is_changed_before_or_after_patching(name: str, when: str) -> None:
    stock = build(hidden_dropout_prob=0.0)
    plain = results(stock, **batch())
    patched = copy.deepcopy(stock)
    if when == "after":
        hf.patch_fnet(patched)
    for model in (stock, patched):
        CHANGES[name](outputs(model)[0])
    if when == "before":
        assert len(hf.patch_fnet(patched).changed) == 2
    expected = results(stock, **batch())
    with pytest.raises(AssertionError):
        agree(plain, expected, 1e-3)  # the change shows
    with FusedCalls() as calls, torch.no_grad():
        agree(results(patched, **batch()), expected, 1e-5)
    first = "fused_fourier_mix" if name in STILL_FUSED else "fourier_mix"
    assert calls.names == [first, "fused_fourier_mix"]


# torch.compile does not trace the tensor subclass, in stock layers either.
@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"a_tensor_subclass_as_weight"}))
def test_the_norm_is_changed_and_the_model_compiled(name: str) -> None:
    torch.compiler.reset()
    stock = build(hidden_dropout_prob=0.0, num_hidden_layers=1)
    patched = copy.deepcopy(stock)
    hf.patch_fnet(patched)
    for model in (stock, patched):
        CHANGES[name](outputs(model)[0])
    compiled = torch.compile(patched, fullgraph=True, backend="aot_eager")
    agree(results(compiled, **batch()), results(stock, **batch()), 1e-5)


@pytest.mark.parametrize("name", ["rms_norm", "subclass", "forward_hook", "parametrization"])
def test_the_norm_is_changed_and_the_model_trained(name: str) -> None:
    gradients = []
    for patch in (False, True):
        model = build(hidden_dropout_prob=0.0).train()
        if patch:
            hf.patch_fnet(model)
        CHANGES[name](outputs(model)[0])
        sum(t.square().sum() for t in results(model, **batch())).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    stock, patched = gradients
    assert stock.keys() == patched.keys()
    assert any("fourier.output" in n for n in stock)
    scale = max(float(g.abs().max()) for g in stock.values())
    for n, expected in stock.items():
        assert float((patched[n] - expected).abs().max()) <= 1e-4 * scale, n


def test_a_changed_norm_in_bfloat16() -> None:
    stock = build()
    CHANGES["forward_hook"](outputs(stock)[0])
    half = copy.deepcopy(stock).to(torch.bfloat16)
    hf.patch_fnet(half)
    agree(results(half, **batch()), results(stock, **batch()), 5e-2)


def test_hooks_on_the_transform_run_with_our_transform() -> None:
    model = build().to(torch.bfloat16)  # that of transformers refuses bfloat16
    hf.patch_fnet(model)
    seen: list[Any] = []
    model.encoder.layer[0].fourier.self.register_forward_hook(lambda m, a, y: seen.append(y[0]))
    with FusedCalls() as calls, torch.no_grad():
        model(**batch())
    assert calls.names == ["fourier_mix", "fused_fourier_mix"]
    assert seen[0].dtype == torch.bfloat16


def test_backward_hooks_on_the_norm_run() -> None:
    model = build()
    hf.patch_fnet(model)
    norm = outputs(model)[0].LayerNorm
    seen = []
    handles = [
        norm.register_full_backward_hook(lambda m, gi, go: seen.append("backward")),
        norm.register_full_backward_pre_hook(lambda m, go: seen.append("pre")),
    ]
    model(**batch()).last_hidden_state.sum().backward()
    assert seen == ["pre", "backward"]
    for handle in handles:
        handle.remove()
    with FusedCalls() as calls, torch.no_grad():
        model(**batch())
    assert calls.names == ["fused_fourier_mix"] * 2


def test_global_hooks_see_every_module() -> None:
    stock = build()
    patched = copy.deepcopy(stock)
    hf.patch_fnet(patched)
    counts = []
    for model in (stock, patched):
        seen: list[str] = []
        handles = [
            register_module_forward_hook(lambda m, a, y, seen=seen: seen.append("forward")),
            register_module_full_backward_hook(lambda m, gi, go, seen=seen: seen.append("back")),
        ]
        model(**batch()).last_hidden_state.sum().backward()
        for handle in handles:
            handle.remove()
        counts.append((seen.count("forward"), seen.count("back")))
    assert counts[0] == counts[1]
    assert counts[0][0] == sum(1 for _ in stock.modules()) - 1  # all but the list of layers
    with FusedCalls() as calls, torch.no_grad():
        patched(**batch())
    assert calls.names == ["fused_fourier_mix"] * 2


def test_a_norm_left_on_another_device_gives_torchs_error() -> None:
    model = build()
    hf.patch_fnet(model)
    outputs(model)[0].LayerNorm.to("meta")
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"device|meta"):
        model(**batch())


def test_accelerate_offloads_the_model() -> None:
    accelerate = pytest.importorskip("accelerate")
    model = build()
    expected = results(model, **batch())
    hf.patch_fnet(model)
    accelerate.cpu_offload(model, execution_device="cpu")
    norm = outputs(model)[0].LayerNorm
    assert norm.weight.is_meta
    with FusedCalls() as calls, torch.no_grad():
        agree(results(model, **batch()), expected, 1e-5)
    assert calls.names == ["fourier_mix"] * 2
    assert norm.weight.is_meta


def test_accelerate_dispatches_the_model_to_disk(tmp_path: Any) -> None:
    accelerate = pytest.importorskip("accelerate")
    model = build()
    expected = results(model, **batch())
    hf.patch_fnet(model)
    places = {name: "cpu" for name, _ in model.named_children()} | {"encoder": "disk"}
    accelerate.dispatch_model(model, places, main_device="cpu", offload_dir=tmp_path)
    with torch.no_grad():
        agree(results(model, **batch()), expected, 1e-5)
    accelerate.hooks.remove_hook_from_module(model, recurse=True)


@pytest.mark.parametrize("padding", ["tokens", "zero", "exact"])
def test_global_hooks_see_the_mixer_of_a_padded_batch(padding: str) -> None:
    layer = FNetEncoderLayer(8, 16, padding=padding).eval()
    given = {} if padding == "tokens" else {"lengths": [3, 2]}
    seen: list[str] = []
    handle = register_module_forward_hook(lambda m, a, y: seen.append(type(m).__name__))
    layer(torch.randn(2, 3, 8), **given)
    handle.remove()
    assert seen.count("FourierMix") == (2 if padding == "exact" else 1)  # each length by itself
