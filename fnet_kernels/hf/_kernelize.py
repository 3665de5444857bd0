"""The fused layer for `kernelize` of the `kernels` library. Imports `transformers`.

`kernelize` copies `forward` of a class without a constructor onto the layers of a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.models.fnet.modeling_fnet import FNetBasicFourierTransform, FNetBasicOutput

from fnet_kernels._fusible import fusible_norm, has_global_hooks, only_runs_forward
from fnet_kernels.functional import fourier_mix, fused_fourier_mix


class KernelizedFourierTransform(nn.Module):
    """The `forward` of a kernelized `FNetFourierTransform`, which is `self`."""

    can_torch_compile = True
    has_backward = True

    def forward(self, hidden_states: Tensor) -> tuple[Tensor]:
        modules: Any = self._modules
        transform, output = modules["self"], modules["output"]
        mixes = only_runs_forward(transform, FNetBasicFourierTransform) and not has_global_hooks()
        if (
            mixes
            and only_runs_forward(output, FNetBasicOutput)
            and fusible_norm(norm := output._modules["LayerNorm"], hidden_states)
        ):
            return (fused_fourier_mix(hidden_states, norm.weight, norm.bias, norm.eps),)
        mixed = fourier_mix(hidden_states) if mixes else transform(hidden_states)[0]
        return (output(mixed, hidden_states),)


@dataclass(frozen=True)
class InstalledLayer:
    """What `kernels` takes for a repository, which needs no download."""

    layer_name: str = "FNetFourierTransform"

    def load(self) -> type[nn.Module]:
        return KernelizedFourierTransform
