"""The patched layer of `transformers`. Importing this module imports `transformers`.

Patching changes the class of a layer, not its `forward` attribute. Copies, pickles, hooks and
`torch.compile` then see an ordinary module, and unpatching restores the layer exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.fnet.modeling_fnet import (
    FNetBasicFourierTransform,
    FNetBasicOutput,
    FNetFourierTransform,
)

from fnet_kernels._fusible import fusible_norm, only_runs_forward
from fnet_kernels._sequences import Sequences
from fnet_kernels.functional import fourier_mix, fused_fourier_mix

__all__ = [
    "altered",
    "derives",
    "fuse",
    "is_fnet_layer",
    "is_fused",
    "restore",
    "why_not_fuse",
    "why_not_restore",
]


class OurFourierTransform(FNetBasicFourierTransform):
    """`FNetBasicFourierTransform` with `fourier_mix`."""

    def forward(self, hidden_states: Tensor, sequences: Sequences | None = None) -> tuple[Tensor]:
        mix = fourier_mix if sequences is None else sequences.fourier_mix
        return (mix(hidden_states),)


class FusedFNetFourierTransform(FNetFourierTransform):
    """`FNetFourierTransform` with the fused operator. Its submodules still hold the parameters."""

    def forward(self, hidden_states: Tensor, sequences: Sequences | None = None) -> tuple[Tensor]:
        if sequences is not None:
            hidden_states = sequences.cleared(hidden_states)
        modules: Mapping[str, Any] = self._modules  # faster than attributes of a module
        output = modules["output"]
        if (
            only_runs_forward(modules["self"], OurFourierTransform)
            and only_runs_forward(output, FNetBasicOutput)
            and fusible_norm(norm := output._modules["LayerNorm"], hidden_states)
        ):
            fused = fused_fourier_mix if sequences is None else sequences.fused_fourier_mix
            return (fused(hidden_states, norm.weight, norm.bias, norm.eps),)
        given = {} if sequences is None else {"sequences": sequences}
        mixed = modules["self"](hidden_states, **given)[0]
        return (output(mixed, hidden_states),)


def is_fnet_layer(module: nn.Module) -> bool:
    """Whether `module` is an FNet layer of `transformers`, patched or not."""
    return derives(type(module), FNetFourierTransform)


def is_fused(layer: nn.Module) -> bool:
    """Whether `layer` is patched."""
    return derives(type(layer), FusedFNetFourierTransform)


def fuse(layer: Any) -> None:
    """Patch `layer`."""
    layer.self.__class__ = OurFourierTransform
    layer.__class__ = FusedFNetFourierTransform


def restore(layer: Any) -> None:
    """Undo `fuse`."""
    layer.__class__ = type(layer).__base__
    if derives(type(layer.self), OurFourierTransform):  # it may have been replaced since
        layer.self.__class__ = type(layer.self).__base__


def why_not_fuse(layer: Any) -> str | None:
    """Why the operators cannot replace this layer, or None if they can."""
    if reason := altered(layer, FNetFourierTransform):
        return f"its {reason}"
    if reason := altered(layer.self, FNetBasicFourierTransform):
        return f"its transform's {reason}"
    function = layer.self.fourier_transform
    if not isinstance(function, partial) or function.func is not torch.fft.fftn:
        return "it does not use torch.fft.fftn (use_tpu_fourier_optimizations)"
    if function.args or function.keywords != {"dim": (1, 2)}:
        return f"its transform is {function}"
    return None


def why_not_restore(layer: Any) -> str | None:
    """Why `restore` would leave operators of ours in this layer, or None."""
    if reason := altered(layer, FusedFNetFourierTransform):
        return f"its {reason}"
    if derives(type(layer.self), OurFourierTransform) and (
        reason := altered(layer.self, OurFourierTransform)
    ):
        return f"its transform's {reason}"
    return None


def altered(module: nn.Module, expected: type[nn.Module]) -> str | None:
    """How `module` differs from a new `expected`, if in its class or its `forward`."""
    if _name(type(module)) != _name(expected):
        return f"class is {type(module).__name__}"
    if "forward" in vars(module):
        return "forward has been replaced"
    return None


def derives(cls: type, base: type) -> bool:
    return any(_name(ancestor) == _name(base) for ancestor in cls.__mro__)


def _name(cls: type) -> tuple[str, str]:
    """What stays the same when a module is reloaded, which makes each class anew."""
    return cls.__module__, cls.__qualname__
