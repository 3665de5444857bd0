"""One encoder layer with each mixer: the layers differ in nothing else.

defines: MIXERS, parameters

They take the same arguments as all contestants, (x, weight, bias), and ignore the last two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from bench.contestants.registry import Contestant
from bench.contestants.setting import EPS, Absent, Setting, Sublayer
from bench.contestants.transforms import LARGEST_MATRICES
from fnet_kernels import FNetEncoderLayer
from fnet_kernels.mixers import list_mixers
from fnet_kernels.mixers.filter import KINDS


class _Layer(nn.Module):
    """An encoder layer with the arguments of a contestant."""

    def __init__(self, layer: FNetEncoderLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y


def _kinds() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Label, mixer and its arguments."""
    for name in list_mixers():
        if name == "filter":
            for basis in KINDS:
                yield f"filter, {basis}", name, {"basis": basis}
        else:
            yield name, name, {"dropout": 0.0} if name == "attention" else {}


_KINDS = {label: (name, arguments) for label, name, arguments in _kinds()}


def _layer(
    setting: Setting,
    device: str,
    mixer: str | nn.Module,
    arguments: Mapping[str, Any] | None = None,
) -> FNetEncoderLayer:
    _, seq, hidden = setting.shape
    return FNetEncoderLayer(
        hidden,
        4 * hidden,
        mixer=mixer,
        seq_len=seq,
        mixer_args=arguments,
        dropout=0.0,
        eps=EPS,
        device=device,
        dtype=setting.dtype,
    )


def parameters(label: str, setting: Setting) -> int:
    """Learned parameters of a mixer: those that its layer has beyond a layer without."""
    layers = _layer(setting, "meta", *_KINDS[label]), _layer(setting, "meta", nn.Identity())
    mine, without = (sum(p.numel() for p in layer.parameters()) for layer in layers)
    return mine - without


def _contestant(label: str) -> Contestant:
    def make(setting: Setting) -> Sublayer:
        planned = _layer(setting, "meta", *_KINDS[label])
        needed = sum(t.nbytes for t in (*planned.parameters(), *planned.buffers()))
        if needed > LARGEST_MATRICES:
            raise Absent(f"its parameters would take {needed / 2**30:.1f} GiB")
        return _Layer(_layer(setting, setting.device, *_KINDS[label]))

    return Contestant(label, "mixer", f"an encoder layer with the mixer {label}", make)


MIXERS: list[Contestant] = list(map(_contestant, _KINDS))
