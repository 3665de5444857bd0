"""The patched activation of `transformers`. Importing this module imports `transformers`.

transformers computes "gelu_new", GELU's tanh approximation, with eight elementwise kernels. On a
GPU they take longer than the mixing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers.activations import NewGELUActivation
from transformers.models.fnet.modeling_fnet import (
    FNetIntermediate,
    FNetLayer,
    FNetPredictionHeadTransform,
)

from fnet_kernels.hf._layer import altered, derives, is_fused

#: The attribute that holds the activation, by the class of transformers.
_HOLDERS = {
    FNetIntermediate: "intermediate_act_fn",
    FNetPredictionHeadTransform: "transform_act_fn",
}


class FusedNewGELU(NewGELUActivation):
    """`NewGELUActivation` in one kernel."""

    def forward(self, input: Tensor) -> Tensor:
        return gelu(input, approximate="tanh")


def fuse_activations(model: nn.Module) -> None:
    """Patch "gelu_new" in the patched layers of `model`, and in its heads if it has such layers."""
    parts = list(model.modules())
    if not any(map(is_fused, parts)):
        return
    layers: list[Any] = [part for part in parts if derives(type(part), FNetLayer)]
    left_alone = [layer.intermediate for layer in layers if not is_fused(layer.fourier)]
    for holder, activation in _activations(parts):
        if holder not in left_alone and altered(activation, NewGELUActivation) is None:
            activation.__class__ = FusedNewGELU


def restore_activations(model: nn.Module) -> None:
    """Undo `fuse_activations`."""
    for _, activation in _activations(model.modules()):
        if altered(activation, FusedNewGELU) is None:
            activation.__class__ = NewGELUActivation


def _activations(parts: Iterable[nn.Module]) -> Iterator[tuple[nn.Module, nn.Module]]:
    """The modules of FNet that hold an activation, and it."""
    for module in parts:
        for kind, name in _HOLDERS.items():
            if derives(type(module), kind) and isinstance(
                activation := getattr(module, name, None), nn.Module
            ):
                yield module, activation
