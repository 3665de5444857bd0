"""Random calls against float64: shape, layout, dtype, arguments, threads, instruction set, modes.

CI tries the same few hundred calls every time. `make fuzz` tries others for ten minutes and keeps
what failed in .hypothesis; a failure becomes a test with a name. FNET_FUZZ_SECONDS sets the time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.library import opcheck

import fnet_kernels
from fnet_kernels import reference
from python_tests.helpers.close import tolerance

SECONDS = float(os.environ.get("FNET_FUZZ_SECONDS", "0"))
operators = torch.ops.fnet_kernels

#: Few elements, many kinds of lengths: tiny, smooth, prime, a multiple of no vector.
LENGTH = st.one_of(st.integers(1, 70), st.sampled_from([96, 97, 121, 128, 144, 189, 197, 240, 257]))
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def contiguous(x: Tensor) -> Tensor:
    return x.clone()


def transposed(x: Tensor) -> Tensor:
    return x.mT.clone().mT


def batch_last(x: Tensor) -> Tensor:
    return x.movedim(0, -1).clone().movedim(-1, 0)


def strided(x: Tensor) -> Tensor:
    """Every second row and column of a larger tensor whose other elements are NaN."""
    wide = x.new_full((*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1]), torch.nan)
    wide[..., ::2, ::2] = x
    return wide[..., ::2, ::2]


def padded(x: Tensor) -> Tensor:
    """Rows at an odd distance, from an odd offset, of a tensor whose other elements are NaN."""
    wide = x.new_full((*x.shape[:-1], x.shape[-1] + 3), torch.nan)
    wide[..., 1:-2] = x
    return wide[..., 1:-2]


def expanded(x: Tensor) -> Tensor:
    """One sequence that stands for all."""
    return x.flatten(0, -3)[:1].squeeze(0).expand(x.shape) if x.dim() > 2 else x.clone()


LAYOUTS = (contiguous, transposed, batch_last, strided, padded, expanded)


@dataclass(frozen=True)
class Call:
    """One call, and what is around it."""

    batch: tuple[int, ...]
    seq: int
    hidden: int
    dtype: torch.dtype
    layout: Callable[[Tensor], Tensor]
    op: str
    weight: bool
    bias: bool
    scale: float
    eps: float
    threads: int
    isa: str
    mode: str
    autocast: torch.dtype | None
    seed: int

    @property
    def answered(self) -> torch.dtype:
        """The dtype of the result: under autocast at least float32."""
        wide = self.autocast is not None
        return torch.promote_types(self.dtype, torch.float32) if wide else self.dtype

    @property
    def fused(self) -> bool:
        return self.op == "fused_fourier_mix"


def calls(
    axes: int, seq: st.SearchStrategy[int], hidden: st.SearchStrategy[int]
) -> st.SearchStrategy[Call]:
    """Calls with at most `axes` axes of the batch."""
    return st.builds(
        Call,
        batch=st.lists(st.integers(1, 4), max_size=axes).map(tuple),
        seq=seq,
        hidden=hidden,
        dtype=st.sampled_from(DTYPES),
        layout=st.sampled_from(LAYOUTS),
        op=st.sampled_from(["fourier_mix", "hartley_mix", "fused_fourier_mix"]),
        weight=st.booleans(),
        bias=st.booleans(),
        scale=st.sampled_from([1.0, -0.5, 0.01]),
        eps=st.sampled_from([1e-12, 1e-5, 1.0]),
        threads=st.integers(1, 4),
        isa=st.sampled_from(operators.cpu_isas().split(",")),
        mode=st.sampled_from(["gradients", "no_grad", "inference_mode"]),
        autocast=st.sampled_from([None, None, torch.bfloat16, torch.float16]),
        seed=st.integers(0, 1000),
    )


CALLS = calls(3, LENGTH, LENGTH)
#: One axis is long, as in a time series or a single row.
LONG, SHORT = st.integers(256, 1500), st.integers(1, 140)
LONG_CALLS = st.one_of(calls(1, LONG, SHORT), calls(1, SHORT, LONG))


@contextmanager
def settings_of(call: Call) -> Iterator[None]:
    threads, isa = torch.get_num_threads(), operators.cpu_isa()
    try:
        torch.set_num_threads(call.threads)
        operators.set_cpu_isa(call.isa)
        with torch.autocast("cpu", call.autocast, enabled=call.autocast is not None):
            yield
    finally:
        operators.set_cpu_isa(isa)
        torch.set_num_threads(threads)


def inputs_of(call: Call) -> list[Tensor]:
    """x, and weight and bias if the call has them."""
    generator = torch.Generator().manual_seed(call.seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(call.dtype)

    made = [call.layout(numbers(*call.batch, call.seq, call.hidden))]
    if call.fused:
        made += [numbers(call.hidden)] * call.weight + [numbers(call.hidden)] * call.bias
    return made


def run(call: Call, module: object, inputs: list[Tensor]) -> list[Tensor]:
    """The result, followed by the gradient of every input if the mode records gradients."""
    x, *rest = inputs

    def result() -> Tensor:
        if not call.fused:
            return getattr(module, call.op)(x, scale=call.scale)
        affine = iter(rest)
        weight = next(affine) if call.weight else None
        bias = next(affine) if call.bias else None
        return module.fused_fourier_mix(x, weight, bias, call.eps, scale=call.scale)  # type: ignore[attr-defined]

    if call.mode == "inference_mode":
        with torch.inference_mode():
            return [result()]
    if call.mode == "no_grad":
        with torch.no_grad():
            return [result()]
    for tensor in inputs:
        tensor.requires_grad_()
    y = result()
    generator = torch.Generator().manual_seed(call.seed + 1)
    grad = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(call.dtype).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, inputs, grad)]


def detached(inputs: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    return [tensor.detach().to(dtype).clone() for tensor in inputs]


def check(call: Call, module: object = fnet_kernels) -> None:
    inputs = inputs_of(call)
    kept = detached(inputs, call.dtype)
    with settings_of(call):
        found = run(call, module, inputs)
    wide = torch.promote_types(call.dtype, torch.float32)
    exact = run(call, reference, detached(inputs, torch.float64))
    stock = run(call, reference, detached(inputs, wide))
    assert all(map(torch.equal, detached(inputs, call.dtype), kept)), "an input was written"
    noises = rounding_noises(call, inputs)
    for i, (ours, right, torchs) in enumerate(zip(found, exact, stock, strict=True)):
        assert ours.shape == right.shape
        assert ours.dtype == (call.dtype if i else call.answered)
        error = float((ours.double() - right).abs().max())
        largest = float(right.abs().max())
        noise = noises[min(i, 1)]
        allowed = 8 * max(float((torchs.double() - right).abs().max()), noise)
        allowed += 8 * tolerance(call.dtype) * largest
        if call.dtype.itemsize == 2 and i:
            # Gradients of 16 bits start from rows that are rounded to 16 bits.
            allowed += 8 * tolerance(call.dtype) * max(float(t.abs().max()) for t in exact)
        assert error <= allowed, f"{error:.1e}, allowed {allowed:.1e}"


def rounding_noises(call: Call, inputs: list[Tensor]) -> tuple[float, float]:
    """Rounding errors of sums that cancel, in the result and in gradients.

    LayerNorm multiplies them by rstd, which is 1e6 where a row has no variance (hidden = 1). Its
    derivative multiplies by rstd once more, if rows have a variance.
    """
    if not call.fused:
        return 0.0, 0.0
    x = inputs[0].detach().double()
    u = x + call.scale * reference.fourier_mix(x)
    rstd = float((u.var(-1, correction=0) + call.eps).rsqrt().max())
    rstd = max(1.0, rstd)
    noise = tolerance(torch.promote_types(call.dtype, torch.float32)) * rstd
    return noise, noise * (rstd if call.hidden > 1 else 1.0)


def repeat(test: Callable[[], None], seconds: float) -> None:
    """Run a test once, and again until `seconds` have passed."""
    end = time.monotonic() + seconds
    test()
    while time.monotonic() < end:
        test()


def examples(
    count: int, of: st.SearchStrategy[Call] = CALLS
) -> Callable[[Callable[[Call], None]], Callable[[], None]]:
    """A test of `count` random calls: the same ones in CI, others each time for `make fuzz`."""

    def decorate(test: Callable[[Call], None]) -> Callable[[], None]:
        options = settings(
            max_examples=count,
            deadline=None,
            derandomize=not SECONDS,
            suppress_health_check=list(HealthCheck),
        )
        found: Callable[[], None] = options(given(of)(test))
        return found

    return decorate


@examples(300)
def random_calls(call: Call) -> None:
    check(call)


def test_random_calls() -> None:
    repeat(random_calls, 0.5 * SECONDS)


@examples(50, of=LONG_CALLS)
def random_calls_of_long_axes(call: Call) -> None:
    check(call)


def test_random_calls_of_long_axes() -> None:
    repeat(random_calls_of_long_axes, 0.3 * SECONDS)


@examples(12)
def checked_by_torch(call: Call) -> None:
    """Schemas, fake kernels and derivatives of all operators, as torch checks them."""
    x, *rest = inputs_of(call)
    affine = iter(rest)
    weight = next(affine) if call.fused and call.weight else None
    bias = next(affine) if call.fused and call.bias else None
    for tensor in (x, weight, bias):
        if tensor is not None and call.mode == "gradients":
            tensor.requires_grad_()
    arguments = (x, weight, bias, call.eps, call.scale)
    y, rows, rstd = operators.fused_fourier_mix_train(*arguments)
    grad = torch.ones_like(y)
    backward = (grad, rows.detach(), rstd.detach(), weight, call.scale, call.weight, call.bias)
    with settings_of(call):
        opcheck(operators.fourier_mix.default, (x, call.scale))
        opcheck(operators.hartley_mix.default, (x, call.scale))
        opcheck(operators.fused_fourier_mix.default, arguments)
        opcheck(operators.fused_fourier_mix_train.default, arguments)
        opcheck(operators.fused_fourier_mix_backward.default, backward)


def test_opcheck_of_random_calls() -> None:
    repeat(checked_by_torch, 0.2 * SECONDS)


class OneElementIsWrong:
    """The library, but for one element of each result."""

    @staticmethod
    def fourier_mix(x: Tensor, **options: float) -> Tensor:
        y = fnet_kernels.fourier_mix(x, **options)
        return y + 0.1 * y.abs().max() * torch.eye(*y.shape[-2:], dtype=y.dtype)[:1].roll(1)


def test_a_wrong_element_is_found() -> None:
    call = Call(
        (2,), 12, 20, torch.float32, contiguous, "fourier_mix", False, False, 1.0, 1e-5, 1,
        operators.cpu_isa(), "no_grad", None, 0,
    )  # fmt: skip
    check(call)
    with pytest.raises(AssertionError, match="allowed"):
        check(call, OneElementIsWrong)
