"""The other blocks, by our operators and as formulas: pre-norm, RMSNorm, a residual that is not x.

defines: Block, BLOCKS, PRE_NORM
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from bench.contestants.registry import Contestant, pin
from bench.contestants.setting import EPS, Sublayer
from bench.contestants.transforms import norm
from fnet_kernels import fourier_mix, fused_fourier_mix


@dataclass(frozen=True)
class Block:
    """A block, by our operator and by its formula in torch."""

    name: str
    ours: Sublayer
    formula: Sublayer

    def contestants(self, isas: list[str]) -> list[Contestant]:
        """Ours, pinned to each of the instruction sets, and the formula."""
        mine = (
            Contestant(f"ours {isa}", "block", self.name, self._same(self.ours), partial(pin, isa))
            for isa in isas
        )
        return [*mine, Contestant("formula", "block", self.name, self._same(self.formula))]

    @staticmethod
    def _same(function: Sublayer) -> Any:
        return lambda setting: function


def _mixed(x: Tensor) -> Tensor:
    real: Tensor = torch.fft.fftn(x, dim=(1, 2)).real
    return real


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    return rms_norm(x, weight.shape, weight, EPS)


def _pre_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return fused_fourier_mix(x, weight, bias, EPS, norm_first=True)


def _pre_norm_formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x + _mixed(norm(x, weight, bias))


def _pre_rms(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return fused_fourier_mix(x, weight, None, EPS, norm_first=True, norm_type="rms")


def _pre_rms_formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x + _mixed(_rms(x, weight))


def _post_rms(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return fused_fourier_mix(x, weight, None, EPS, norm_type="rms")


def _post_rms_formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _rms(x + _mixed(x), weight)


class _Residual:
    """A kept residual of the shape of x is added to the transform."""

    def __init__(self, fused: bool) -> None:
        self.fused = fused
        self.kept = torch.ones(0)

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if self.kept.shape != x.shape:
            self.kept = torch.ones_like(x)
        return fourier_mix(x, residual=self.kept) if self.fused else self.kept + _mixed(x)


PRE_NORM = Block("pre-norm", _pre_norm, _pre_norm_formula)
BLOCKS = [
    PRE_NORM,
    Block("pre-norm with RMSNorm", _pre_rms, _pre_rms_formula),
    Block("RMSNorm", _post_rms, _post_rms_formula),
    Block("residual", _Residual(fused=True), _Residual(fused=False)),
]
