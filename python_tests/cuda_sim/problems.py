"""Inputs of the simulated CUDA kernels, and their expected outputs: forward and backward."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from arrays import (
    EPS,
    TRANSFORMS,
    Array,
    assert_accurate,
    compute_type,
    epilogue,
    fetch,
    load,
    store,
)

from python_tests.helpers.definition import mix, norm_gradient, normalised
from tools.cuda_sim import cuda_sim_module

Output = dict[str, Any]
MIX, RESIDUAL, NORM = 0, 1, 2
FOURIER, HARTLEY = 0, 1
OK, UNSUPPORTED_LENGTH, UNSUPPORTED_DTYPE, MISALIGNED, UNSUPPORTED_ROW_SCALE = 0, 1, 2, 3, 5
#: Devices: multiprocessors, shared memory per block, L2 size.
H100 = (132, 227 << 10, 50 << 20)
SMALL = (84, 99 << 10, 6 << 20)
ONE_BY_ONE = (0, 227 << 10, 0)  # takes one sequence at a time
MODULE = cuda_sim_module("fnet_cuda_test")
SEQ, HIDDEN = MODULE.seq_lengths(), MODULE.hidden_lengths()
#: The build with sanitizers has only a few lengths, most of them long, and no kernels of float16.
FEW = 2048 not in SEQ
DTYPES = ("float32", "bfloat16") if FEW else ("float32", "bfloat16", "float16")


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def errors(output: Output) -> list[Any]:
    return [error for launch in output["launches"] for error in launch["errors"]]


class Problem:
    """x [batch, seq, hidden] with affine parameters, as stored in `dtype`."""

    def __init__(self, batch: int, seq: int, hidden: int, dtype: str, kind: int = NORM) -> None:
        self.shape, self.dtype, self.kind = (batch, seq, hidden), dtype, kind
        self.scale = 0.75 if kind == MIX else 1.0
        self.stored = store(numbers(batch, seq, hidden), dtype)
        self.weight = store(1 + 0.1 * numbers(hidden), dtype)
        self.bias = store(numbers(hidden, seed=1), dtype)

    def run(self, module: ModuleType = MODULE, **options: Any) -> Output:
        """Run the kernels. Options are arguments of fnet_cuda_test.mix, and the row pitch of x."""
        norm = self.kind == NORM
        pitch = options.pop("pitch", self.shape[-1])
        padded = np.zeros((*self.shape[:2], pitch), self.stored.dtype)
        padded[..., : self.shape[-1]] = self.stored
        settings = {"row_scale": None, "train": False, "in_place": False, "device": H100, "seed": 0}
        affine = (self.weight, self.bias) if norm else (None, None)
        settings |= dict(zip(("weight", "bias"), affine, strict=True))
        args = (padded, self.shape[-1], self.dtype, self.kind, self.scale, EPS)
        return module.mix(*args, **settings | options)

    def exact(self, precision: type = np.float64) -> Array:
        parts = (load(a, self.dtype).astype(precision) for a in (self.weight, self.bias))
        return epilogue(
            self.kind, load(self.stored, self.dtype).astype(precision), self.scale, *parts
        )

    def check(self, output: Output) -> None:
        assert output["status"] == OK
        assert errors(output) == []
        y = fetch(output["y"], self.dtype, self.shape)
        assert_accurate(y, self.exact(), self.exact(np.float32), self.dtype)


class General(Problem):
    """The second half of the general path, from the spectrum of row_scale * x."""

    def __init__(
        self, batch: int, seq: int, hidden: int, dtype: str, kind: int = NORM, transform: int = 0
    ) -> None:
        super().__init__(batch, seq, hidden, dtype, kind)
        self.transform = transform
        self.row_scale = np.exp(numbers(batch, seq)).astype(compute_type(dtype))
        self.x = load(self.stored, dtype) * self.row_scale[..., None]
        self.padded = np.zeros((batch, seq, hidden + 3), self.stored.dtype)
        self.padded[..., :hidden] = self.stored

    def run(self, module: ModuleType = MODULE, **options: Any) -> Output:
        """Run the kernel. Options are arguments of fnet_cuda_test.mix_from_spectrum."""
        spectrum = np.ascontiguousarray(np.fft.rfft2(self.x))
        settings = {"transform": self.transform, "in_place": False, "seed": 1}
        return module.mix_from_spectrum(
            self.padded,
            self.shape[-1],
            self.dtype,
            self.kind,
            self.scale,
            EPS,
            self.weight,
            self.bias,
            self.row_scale,
            self.kind == NORM,
            spectrum=spectrum.astype(np.complex128 if self.dtype == "float64" else np.complex64),
            **settings | options,
        )

    def transformed(self) -> Array:
        return TRANSFORMS[self.transform](self.x)

    def exact(self, precision: type = np.float64) -> Array:
        parts = (load(a, self.dtype).astype(precision) for a in (self.weight, self.bias))
        x = self.x.astype(precision)
        return epilogue(self.kind, x, self.scale, *parts, self.transform)


class Block(Problem):
    """Another block than FNet's own: RMSNorm, pre-norm or a residual that is not x."""

    def __init__(
        self,
        batch: int,
        seq: int,
        hidden: int,
        dtype: str,
        *,
        rms: bool = False,
        norm_first: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__(batch, seq, hidden, dtype, RESIDUAL if norm_first or residual else NORM)
        self.rms, self.norm_first, self.scale = rms, norm_first, 0.75
        self.stored = store(0.5 + numbers(batch, seq, hidden), dtype)  # rows have a mean
        self.residual = store(numbers(batch, seq, hidden, seed=3), dtype) if residual else None

    def run(self, module: ModuleType = MODULE, **options: Any) -> Output:
        pitch = options.pop("residual_pitch", self.shape[-1])
        residual = None
        if self.residual is not None:
            residual = np.zeros((*self.shape[:2], pitch), self.stored.dtype)
            residual[..., : self.shape[-1]] = self.residual
        block = {"rms": self.rms, "norm_first": self.norm_first, "residual": residual}
        if self.norm_first:
            block |= {"weight": self.weight, "bias": self.bias}
        return super().run(module, **block | options)

    def exact(self, precision: type = np.float64) -> Array:
        x, weight, bias = (
            load(a, self.dtype).astype(precision) for a in (self.stored, self.weight, self.bias)
        )
        scale = precision(self.scale)
        if self.norm_first:
            return x + scale * mix(normalised(x, EPS, self.rms)[0] * weight + bias)
        if self.residual is not None:
            return load(self.residual, self.dtype).astype(precision) + scale * mix(x)
        return normalised(x + scale * mix(x), EPS, self.rms)[0] * weight + bias


class Backward:
    """The backward pass for grad and normalized [batch, seq, hidden], as stored in `dtype`."""

    def __init__(self, batch: int, seq: int, hidden: int, dtype: str, rms: bool = False) -> None:
        self.shape, self.dtype, self.scale, self.rms = (batch, seq, hidden), dtype, 0.75, rms
        self.grad = store(numbers(batch, seq, hidden, seed=2), dtype)
        self.normalized = store(normalised(numbers(batch, seq, hidden), EPS)[0], dtype)
        self.rstd = np.exp(numbers(batch, seq)).astype(np.float32)
        self.weight = store(1 + 0.1 * numbers(hidden), dtype)

    def run(self, module: ModuleType = MODULE, **options: Any) -> Output:
        settings = {"weight": self.weight, "sums": True, "device": H100, "seed": 0}
        settings["rms"] = self.rms
        return module.norm_mix_grad(
            self.grad, self.normalized, self.rstd, self.dtype, self.scale, **settings | options
        )

    def exact(self, precision: type = np.float64) -> dict[str, Array]:
        parts = (self.grad, self.normalized, self.weight)
        dy, xhat, weight = (load(a, self.dtype).astype(precision) for a in parts)
        rstd = self.rstd.astype(precision)
        unscaled = norm_gradient(dy * weight, xhat, np.ones_like(rstd), self.rms)
        du = self.stored_du(unscaled, rstd)
        dx = du + precision(self.scale) * mix(du)
        return {"du": du, "dx": dx, "dweight": (dy * xhat).sum((0, 1)), "dbias": dy.sum((0, 1))}

    def stored_du(self, du_over_rstd: Array, rstd: Array) -> Array:
        """du as the mix reads it: in 16 bits once rounded, in float16 before the factor rstd."""
        rstd = rstd[..., None]
        if self.dtype == "float32":
            return du_over_rstd * rstd
        if self.dtype == "float16":
            return load(store(du_over_rstd, self.dtype), self.dtype).astype(rstd.dtype) * rstd
        return load(store(du_over_rstd * rstd, self.dtype), self.dtype).astype(rstd.dtype)

    def check(self, output: Output) -> None:
        assert output["status"] == OK
        assert errors(output) == []
        narrow = self.exact(np.float32)
        for name, expected in self.exact().items():
            if name not in output:
                continue
            result = fetch(output[name], self.dtype, expected.shape)
            assert_accurate(result, expected, narrow[name], self.dtype)


class PrenormBackward(Backward):
    """That of x + scale M(Norm(x)), from x and its statistics."""

    def __init__(self, batch: int, seq: int, hidden: int, dtype: str, rms: bool = False) -> None:
        super().__init__(batch, seq, hidden, dtype, rms)
        self.normalized = store(0.5 + numbers(batch, seq, hidden), dtype)  # x
        x = load(self.normalized, dtype)
        self.mean = np.zeros((batch, seq)) if rms else x.mean(-1)
        self.rstd = normalised(x, EPS, rms)[1].astype(np.float32)
        self.mean = self.mean.astype(np.float32)

    def run(self, module: ModuleType = MODULE, **options: Any) -> Output:
        return super().run(module, mean=self.mean, **options)

    def exact(self, precision: type = np.float64) -> dict[str, Array]:
        parts = (self.grad, self.normalized, self.weight)
        dy, x, weight = (load(a, self.dtype).astype(precision) for a in parts)
        mean, rstd = self.mean.astype(precision), self.rstd.astype(precision)
        xhat = (x - mean[..., None]) * rstd[..., None]
        t = precision(self.scale) * mix(dy)
        t = load(store(t, self.dtype), self.dtype).astype(precision)  # dx holds it for a while
        dx = dy + norm_gradient(t * weight, xhat, rstd, self.rms)
        return {"dx": dx, "dweight": (t * xhat).sum((0, 1)), "dbias": t.sum((0, 1))}
