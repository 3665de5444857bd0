"""Fused mixing for Hugging Face `transformers`: one line patches an existing model.

    from fnet_kernels import hf
    model = FNetModel.from_pretrained("google/fnet-base")
    print(hf.patch_fnet(model))        # patched 12 FNet layers

Importing this module does not import `transformers`; calling its functions does.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class PatchReport:
    """What `patch_fnet` or `unpatch_fnet` did. `str()` gives a readable summary."""

    #: "patched" or "unpatched".
    action: str
    #: Names of the changed layers.
    changed: tuple[str, ...]
    #: Names of the layers that already were in the requested state.
    unchanged: tuple[str, ...]
    #: Names of the skipped layers, with the reasons.
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.action} {len(self.changed)} FNet layers"
        if self.unchanged:
            text += f", {len(self.unchanged)} already {self.action}"
        for name, reason in self.skipped.items():
            text += f"\n  skipped {name}: {reason}"
        return text


def patch_fnet(model: nn.Module) -> PatchReport:
    """Make the FNet layers of a `transformers` model run the fused operator, in place.

    Works on every FNet class of `transformers` 5 and on modules that contain one, in training and
    evaluation, in every dtype of `fused_fourier_mix`, and with `torch.compile`. Parameters, buffers
    and the keys of `state_dict` do not change. Patching twice has no further effect. Under
    `torch.autocast` a patched layer runs in float32, like the stock layer.

    Skips a layer, with a warning that names the reason, if the fused operator does not compute the
    same: if the model uses `use_tpu_fourier_optimizations`; if the layer or a module inside it is
    replaced, subclassed or has another `forward` (hooks of `accelerate` set one: patch before
    dispatching); or if a module inside it has forward hooks.

    Args:
        model: any module that contains FNet layers.

    Returns:
        A report of the changed and the skipped layers.

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
        unsupported_reason,
    )

    changed: list[str] = []
    unchanged: list[str] = []
    skipped: dict[str, str] = {}
    for name, layer in _fnet_layers("patch_fnet", model):
        if is_fused(layer):
            unchanged.append(name)
        elif reason := unsupported_reason(layer):
            skipped[name] = reason
        else:
            layer.__class__ = FusedFNetFourierTransform
            changed.append(name)
    if skipped:
        reasons = "; ".join(sorted(set(skipped.values())))
        warnings.warn(f"patch_fnet: skipped {len(skipped)} FNet layers: {reasons}", stacklevel=2)
    return PatchReport("patched", tuple(changed), tuple(unchanged), skipped)


def unpatch_fnet(model: nn.Module) -> PatchReport:
    """Undo `patch_fnet`, in place and exactly.

    Args:
        model: any module that contains FNet layers, patched or not.

    Returns:
        A report of the changed layers.

    Raises:
        TypeError: `model` is not a module.
        ValueError: `model` has no FNet layers.
        ImportError: `transformers` is not installed.

    >>> from transformers import FNetConfig, FNetModel
    >>> from fnet_kernels import hf
    >>> model = FNetModel(FNetConfig(hidden_size=64, intermediate_size=256, num_hidden_layers=2))
    >>> print(hf.unpatch_fnet(model))
    unpatched 0 FNet layers, 2 already unpatched
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
