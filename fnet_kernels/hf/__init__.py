"""Fused mixing for Hugging Face `transformers`: one line for a model that is already there.

    from fnet_kernels import hf
    model = FNetModel.from_pretrained("google/fnet-base")
    print(hf.patch_fnet(model))        # patched 12 FNet layers

`transformers` is imported when a function here is called, not with this library.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class PatchReport:
    """What `patch_fnet` or `unpatch_fnet` did. `str()` of it is for people."""

    #: "patched" or "unpatched".
    action: str
    #: Names of the layers that were changed.
    changed: tuple[str, ...]
    #: Names of the layers that already were as asked.
    unchanged: tuple[str, ...]
    #: Layers that were left alone, and why.
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.action} {len(self.changed)} FNet layers"
        if self.unchanged:
            text += f", {len(self.unchanged)} already were"
        for name, reason in self.skipped.items():
            text += f"\n  left alone: {name}: {reason}"
        return text


def patch_fnet(model: nn.Module) -> PatchReport:
    """Make the FNet layers of a `transformers` model run the fused operator, in place.

    Works on every FNet class of `transformers` 5, with any head, and on modules that contain one;
    in training and in evaluation, in every dtype of `fused_fourier_mix`, with `torch.compile` and
    after `from_pretrained`. Parameters, buffers and the keys of `state_dict` stay the same objects
    and names. Patching twice is patching once.

    A layer is left alone, with a warning that says why, when its computation is not the standard
    one: with `use_tpu_fourier_optimizations`, or when it or a module inside it has been replaced,
    subclassed, given another `forward` (as hooks of `accelerate` do: patch before dispatching) or,
    inside, forward hooks. Under `torch.autocast` a patched layer runs in float32, as the stock one.

    Args:
        model: any module that contains FNet layers.

    Returns:
        A report of what was changed and what was left alone.

    Raises:
        TypeError: `model` is not a module.
        ValueError: `model` has no FNet layers.
        ImportError: `transformers` is not installed.

    >>> from transformers import FNetConfig, FNetModel
    >>> from fnet_kernels import hf
    >>> model = FNetModel(FNetConfig(hidden_size=64, intermediate_size=256, num_hidden_layers=2))
    >>> print(hf.patch_fnet(model))
    patched 2 FNet layers
    >>> print(hf.unpatch_fnet(model))
    unpatched 2 FNet layers
    """
    from fnet_kernels.hf._layer import (
        FusedFNetFourierTransform,
        is_fused,
        reason_to_leave_alone,
    )

    changed: list[str] = []
    unchanged: list[str] = []
    skipped: dict[str, str] = {}
    for name, layer in _fnet_layers("patch_fnet", model):
        if is_fused(layer):
            unchanged.append(name)
        elif reason := reason_to_leave_alone(layer):
            skipped[name] = reason
        else:
            layer.__class__ = FusedFNetFourierTransform
            changed.append(name)
    if skipped:
        reasons = "; ".join(sorted(set(skipped.values())))
        warnings.warn(f"patch_fnet: left {len(skipped)} FNet layers alone: {reasons}", stacklevel=2)
    return PatchReport("patched", tuple(changed), tuple(unchanged), skipped)


def unpatch_fnet(model: nn.Module) -> PatchReport:
    """Undo `patch_fnet`, in place and exactly.

    Args:
        model: any module that contains FNet layers, patched or not.

    Returns:
        A report of what was changed.

    Raises:
        TypeError: `model` is not a module.
        ValueError: `model` has no FNet layers.
        ImportError: `transformers` is not installed.

    >>> from transformers import FNetConfig, FNetModel
    >>> from fnet_kernels import hf
    >>> model = FNetModel(FNetConfig(hidden_size=64, intermediate_size=256, num_hidden_layers=2))
    >>> print(hf.unpatch_fnet(model))
    unpatched 0 FNet layers, 2 already were
    """
    from fnet_kernels.hf._layer import FNetFourierTransform, is_fused

    changed: list[str] = []
    unchanged: list[str] = []
    for name, layer in _fnet_layers("unpatch_fnet", model):
        if is_fused(layer):
            layer.__class__ = FNetFourierTransform
            changed.append(name)
        else:
            unchanged.append(name)
    return PatchReport("unpatched", tuple(changed), tuple(unchanged))


def _fnet_layers(function: str, model: nn.Module) -> list[tuple[str, Any]]:
    from fnet_kernels.hf._layer import FNetFourierTransform

    if not isinstance(model, nn.Module):
        raise TypeError(f"{function}: model must be a torch.nn.Module, got {type(model).__name__}")
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, FNetFourierTransform)
    ]
    if not layers:
        raise ValueError(
            f"{function}: {type(model).__name__} has no FNet layers (transformers'"
            " FNetFourierTransform)"
        )
    return layers
