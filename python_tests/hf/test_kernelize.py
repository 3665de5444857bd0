"""`kernelize` of the `kernels` library with our mapping."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fnet_kernels import hf

kernels = pytest.importorskip("kernels")
transformers = pytest.importorskip("transformers")
TOKENS = torch.randint(0, 100, (2, 12), generator=torch.Generator().manual_seed(0))


def tiny(**options: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    return transformers.FNetModel(transformers.FNetConfig(**sizes, **options)).eval()


def kernelize(model: nn.Module, mode: Any = kernels.Mode.INFERENCE) -> Any:
    with kernels.use_kernel_mapping(hf.kernel_mapping()):
        return kernels.kernelize(model, mode=mode, device="cpu")


def test_computes_the_same_with_the_fused_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    expected = model(TOKENS).last_hidden_state
    from fnet_kernels.hf import _kernelize

    calls = []
    fused = _kernelize.fused_fourier_mix
    monkeypatch.setattr(
        _kernelize, "fused_fourier_mix", lambda *args: (calls.append(args), fused(*args))[1]
    )
    actual = kernelize(model)(TOKENS).last_hidden_state
    assert len(calls) == 2
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_a_transform_with_a_hook_or_replaced_is_called() -> None:
    model = kernelize(tiny())
    expected = model(TOKENS).last_hidden_state
    calls: list[Any] = []
    model.encoder.layer[0].fourier.self.register_forward_hook(lambda *args: calls.append(args))
    torch.testing.assert_close(model(TOKENS).last_hidden_state, expected, atol=1e-5, rtol=1e-5)
    assert len(calls) == 1
    model.encoder.layer[1].fourier.self = Nothing()
    assert not torch.allclose(model(TOKENS).last_hidden_state, expected, atol=0.1)


class Nothing(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.zeros_like(x),)


def test_bfloat16_which_the_stock_model_refuses() -> None:
    model = tiny().bfloat16()
    with pytest.raises(RuntimeError):
        model(TOKENS)
    assert kernelize(model)(TOKENS).last_hidden_state.dtype == torch.bfloat16


def test_training_and_compile() -> None:
    stock, model = tiny(), kernelize(tiny(), kernels.Mode.TRAINING | kernels.Mode.TORCH_COMPILE)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for run in (stock, compiled):
        run(TOKENS).last_hidden_state.square().sum().backward()
    for (name, expected), actual in zip(stock.named_parameters(), model.parameters(), strict=True):
        if expected.grad is not None:
            torch.testing.assert_close(
                actual.grad, expected.grad, atol=1e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
            )


def test_a_replaced_norm_is_called() -> None:
    class Doubled(nn.LayerNorm):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    model = tiny()
    for layer in model.encoder.layer:
        layer.fourier.output.LayerNorm = Doubled(32, eps=1e-12)
    expected = model(TOKENS).last_hidden_state
    torch.testing.assert_close(
        kernelize(model)(TOKENS).last_hidden_state, expected, atol=1e-5, rtol=1e-5
    )


def test_leaves_other_transforms_alone() -> None:
    model = kernelize(tiny(use_tpu_fourier_optimizations=True, tpu_short_seq_length=12))
    assert not any("forward" in vars(layer.fourier) for layer in model.encoder.layer)
    patched = tiny()
    hf.patch_fnet(patched)
    kernelize(patched)
    assert not any("forward" in vars(layer.fourier) for layer in patched.encoder.layer)
