"""The patched layer of `transformers`. Importing this module imports `transformers`.

Patching changes the class of a layer, not its `forward` attribute. Copies, pickles, hooks and
`torch.compile` then see an ordinary module, and unpatching restores the layer exactly.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from fnet_kernels._ops.checks import autocasting
from fnet_kernels.functional import fused_fourier_mix

try:
    from transformers.models.fnet.modeling_fnet import (
        FNetBasicFourierTransform,
        FNetBasicOutput,
        FNetFourierTransform,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        "fnet_kernels.hf needs Hugging Face transformers: run `pip install transformers`"
    ) from error

__all__ = [
    "FNetFourierTransform",
    "FusedFNetFourierTransform",
    "is_fused",
    "unsupported_reason",
]


class FusedFNetFourierTransform(FNetFourierTransform):
    """`FNetFourierTransform` with the fused operator. Its submodules still hold the parameters."""

    def forward(self, hidden_states: Tensor) -> tuple[Tensor]:
        if autocasting(hidden_states):  # autocast casts the input of torch.fft to float32
            dtype = torch.promote_types(hidden_states.dtype, torch.float32)
            hidden_states = hidden_states.to(dtype)
        norm = self.output.LayerNorm
        return (fused_fourier_mix(hidden_states, norm.weight, norm.bias, norm.eps),)


def is_fused(layer: FNetFourierTransform) -> bool:
    return type(layer) is FusedFNetFourierTransform


def unsupported_reason(layer: FNetFourierTransform) -> str | None:
    """Why the fused operator cannot replace this layer, or None if it can."""
    if type(layer) is not FNetFourierTransform:
        return f"its class is {type(layer).__name__}"
    if "forward" in vars(layer):
        return "its forward has been replaced"
    parts = (
        ("transform", layer.self, FNetBasicFourierTransform),
        ("output", layer.output, FNetBasicOutput),
        ("LayerNorm", layer.output.LayerNorm, nn.LayerNorm),
    )
    for name, part, expected in parts:
        if type(part) is not expected:
            return f"its {name} is {type(part).__name__}"
        if "forward" in vars(part):
            return f"the forward of its {name} has been replaced"
        if part._forward_hooks or part._forward_pre_hooks:
            return f"its {name} has forward hooks, which would no longer run"
    transform = layer.self.fourier_transform
    if not isinstance(transform, partial) or transform.func is not torch.fft.fftn:
        return "it does not use torch.fft.fftn (use_tpu_fourier_optimizations)"
    if transform.args or transform.keywords != {"dim": (1, 2)}:
        return f"its transform is {transform}"
    return None
