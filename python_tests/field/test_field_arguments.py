"""Sizes and numbers that constructors and functions refuse, by name."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import fnet_kernels as fk
from fnet_kernels import reference
from python_tests.helpers.refused import assert_refused

X = torch.ones(2, 3, 4)
META = X.to("meta")
BAD: list[tuple[Any, type[Exception], list[str]]] = [
    (lambda: fk.fourier_mix(X, norm="orthogonal"), ValueError, ["fourier_mix: norm", "'ortho'"]),
    (lambda: fk.fourier_mix(X, norm=2), ValueError, ["norm", "'backward'", "got 2"]),
    (lambda: fk.fourier_mix(X, norm=["ortho"]), ValueError, ["norm", "got ['ortho']"]),
    (lambda: fk.fused_fourier_mix(X, norm=""), ValueError, ["fused_fourier_mix: norm", "got ''"]),
    (lambda: fk.FourierMix(norm="Ortho"), ValueError, ["FourierMix: norm", "got 'Ortho'"]),
    (lambda: fk.FusedFourierMix(4, norm=True), ValueError, ["FusedFourierMix: norm", "got True"]),
    (lambda: fk.FNetEncoder(1, 4, 8, mixer="x"), ValueError, ["mixer", "'fourier'", "got 'x'"]),
    (lambda: fk.FNetEncoder(2, 4, 8, mixer=["fourier"]), ValueError, ["num_layers=2", "got 1"]),
    (lambda: fk.FNetEncoderLayer(4, 8, mixer=3), TypeError, ["mixer", "name or a", "got int"]),
    (lambda: reference.fourier_mix(X, norm="x"), ValueError, ["fourier_mix: norm", "got 'x'"]),
    (lambda: reference.fused_fourier_mix(X, norm="x"), ValueError, ["norm", "got 'x'"]),
    (lambda: fk.fourier_mix(X, scale=float("nan")), ValueError, ["scale", "finite", "got nan"]),
    (lambda: fk.fourier_mix(X, scale=-float("inf")), ValueError, ["scale", "finite", "got -inf"]),
    (lambda: fk.fused_fourier_mix(X, scale=float("nan")), ValueError, ["scale", "got nan"]),
    (lambda: fk.fourier_mix(X, scale=np.float32("inf")), ValueError, ["scale", "got inf"]),
    (lambda: fk.fused_fourier_mix(X, eps=np.float32("inf")), ValueError, ["eps", "got inf"]),
    (lambda: fk.fused_fourier_mix(X, eps=10**400), ValueError, ["eps", "finite"]),
    (lambda: fk.fused_fourier_mix(X, eps=True), TypeError, ["eps", "Python number", "got bool"]),
    (lambda: fk.fourier_mix(X, scale=True), TypeError, ["scale", "Python number", "got bool"]),
    (lambda: fk.FourierMix(float("nan")), ValueError, ["FourierMix: scale", "got nan"]),
    (lambda: fk.FusedFourierMix(4, scale=float("inf")), ValueError, ["scale", "got inf"]),
    (lambda: fk.fourier_mix(X, scale=10**400), ValueError, ["scale", "finite"]),
    (lambda: fk.fused_fourier_mix(META, META[0, 0, :3]), ValueError, ["weight", "got shape (3,)"]),
    (lambda: fk.FusedFourierMix("768"), TypeError, ["FusedFourierMix: hidden_size", "got str"]),
    (lambda: fk.FusedFourierMix((768,)), TypeError, ["hidden_size", "int", "got tuple"]),
    (lambda: fk.FusedFourierMix(768.0), TypeError, ["hidden_size", "int", "got float"]),
    (lambda: fk.FusedFourierMix(True), TypeError, ["hidden_size", "int", "got bool"]),
    (lambda: fk.FusedFourierMix(None), TypeError, ["hidden_size", "got None"]),
    (lambda: fk.FusedFourierMix(torch.tensor(768)), TypeError, ["hidden_size", "got Tensor"]),
    (lambda: fk.FusedFourierMix(0), ValueError, ["hidden_size", "at least 1", "got 0"]),
    (lambda: fk.FusedFourierMix(-1), ValueError, ["hidden_size", "at least 1", "got -1"]),
    (lambda: fk.FusedFourierMix(4, dtype=torch.int32), TypeError, ["dtype", "got torch.int32"]),
    (lambda: fk.FusedFourierMix(4, dtype=torch.cfloat), TypeError, ["dtype", "torch.complex64"]),
    (lambda: fk.FusedFourierMix(4, dtype="half"), TypeError, ["dtype", "torch.float32", "half"]),
    (lambda: fk.FNetEncoderLayer("4", 8), TypeError, ["FNetEncoderLayer: hidden_size", "got str"]),
    (lambda: fk.FNetEncoderLayer(4, 0), ValueError, ["intermediate_size", "at least 1", "got 0"]),
    (lambda: fk.FNetEncoderLayer(4, 8, dropout=2), ValueError, ["dropout", "0 to 1", "got 2"]),
    (lambda: fk.FNetEncoderLayer(4, 8, dropout="0"), TypeError, ["dropout", "got str"]),
    (lambda: fk.FNetEncoderLayer(4, 8, eps=-1.0), ValueError, ["FNetEncoderLayer: eps", "-1.0"]),
    (lambda: fk.FNetEncoder("2", 4, 8), TypeError, ["FNetEncoder: num_layers", "got str"]),
    (lambda: fk.FNetEncoder(-1, 4, 8), ValueError, ["num_layers", "at least 0", "got -1"]),
    (lambda: fk.FNetEncoder(1, 4, 8, mixer_args=[1]), TypeError, ["FNetEncoder: mixer_args"]),
    (lambda: fk.FNetEncoder(0, 4, -8), ValueError, ["FNetEncoder: intermediate_size", "got -8"]),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD)
def test_what_is_refused_is_named(call: Any, error: type[Exception], words: list[str]) -> None:
    assert_refused(call, error, words)


def test_the_operators_refuse_a_scale_that_is_not_finite() -> None:
    for op, args in (("fourier_mix", ()), ("fused_fourier_mix", (None, None, 1e-5))):
        with pytest.raises(RuntimeError, match=f"{op}: expected scale that is finite, got nan"):
            getattr(torch.ops.fnet_kernels, op)(X, *args, scale=float("nan"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_scale_that_float32_does_not_hold_is_refused(dtype: torch.dtype) -> None:
    x = torch.randn(2, 8, 12)
    for scale, norm in ((1e39, "backward"), (-1e39, None), (1e41, "ortho")):
        for mix in (fk.fourier_mix, fk.fused_fourier_mix, partial(fk.fused_fourier_mix, eps=1e-5)):
            with pytest.raises(ValueError, match="fourier_mix: scale must be finite in float32"):
                mix(x.to(dtype), scale=scale, norm=norm)
        assert fk.fourier_mix(x.double(), scale=scale, norm=norm).isfinite().all()
    y = fk.fourier_mix(x.to(dtype) * 1e-5, scale=1e39, norm="ortho")  # 1e38
    assert y.isfinite().all()


def test_sizes_of_numpy_and_numbers_of_numpy() -> None:
    mix = fk.FusedFourierMix(np.int64(12), np.float64(1e-5), scale=np.float64(0.5))
    assert type(mix.hidden_size) is type(fk.FourierAttention(np.int64(12)).embed_dim) is int
    x = torch.randn(2, 8, 12)
    assert torch.equal(mix(x), fk.fused_fourier_mix(x, mix.weight, mix.bias, 1e-5, scale=0.5))
    assert torch.equal(fk.fourier_mix(x, scale=np.float32(0.5)), fk.fourier_mix(x, scale=0.5))
    assert len(fk.FNetEncoder(0, 4, 8)) == 0
