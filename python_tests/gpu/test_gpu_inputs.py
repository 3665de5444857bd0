"""Inputs with strides and offsets, expanded, empty, not finite, and with over 2^31 elements."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from gpu_accuracy import assert_accurate, norm_magnitude
from on_device import REHEARSAL, device, inputs, randn, step
from torch import Tensor

from fnet_kernels import fourier_mix, fused_fourier_mix, reference

#: Views of 100,000 numbers; the lengths 32 and 64 have kernels.
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "rows apart": lambda t: t.as_strided((3, 32, 64), (3200, 96, 1)),
    "rows apart, unaligned": lambda t: t.as_strided((3, 32, 64), (3200, 65, 1)),
    "batches apart, unaligned": lambda t: t.as_strided((3, 32, 64), (2049, 64, 1)),
    "offset": lambda t: t.as_strided((3, 32, 64), (2048, 64, 1), 64),
    "offset by one": lambda t: t.as_strided((3, 32, 64), (2048, 64, 1), 1),
    "every other row": lambda t: t.as_strided((3, 32, 64), (4096, 128, 1)),
    "every other column": lambda t: t.as_strided((3, 32, 64), (4096, 128, 2)),
    "transposed": lambda t: t.as_strided((3, 32, 64), (2048, 1, 32)),
    "seq first": lambda t: t.as_strided((3, 32, 64), (64, 192, 1)),
    "expanded batch": lambda t: t.as_strided((3, 32, 64), (0, 64, 1)),
    "expanded rows": lambda t: t.as_strided((3, 32, 64), (64, 0, 1)),
    "one of a fused projection": lambda t: t.as_strided((3, 32, 64), (6144, 192, 1), 64),
    "overlapping": lambda t: t.as_strided((3, 32, 64), (8, 64, 1)),
    "two leading, apart": lambda t: t.as_strided((2, 3, 32, 64), (20000, 2048, 64, 1)),
    "two leading, swapped": lambda t: t.as_strided((2, 3, 32, 64), (2048, 4096, 64, 1)),
    "no leading": lambda t: t.as_strided((32, 64), (128, 1)),
    "negated lazily": lambda t: torch.complex(t, t)[: 3 * 32 * 64].view(3, 32, 64).conj().imag,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", VIEWS)
def test_views(name: str, dtype: torch.dtype) -> None:
    if name == "negated lazily" and dtype != torch.float32:
        pytest.skip("complex numbers are float32 here")
    numbers = randn(100_000, dtype=dtype)
    before = numbers.clone()
    x = VIEWS[name](numbers)
    expected, baseline = reference.fused_fourier_mix(x.double()), reference.fused_fourier_mix(x)
    y = fused_fourier_mix(x)
    assert y.is_contiguous()
    if name == "expanded rows":  # M(x) is zero except in row 0, but rounding is not
        allowed = max(1e-4, 2 * torch.finfo(dtype).eps)
        assert (y - expected).abs().max() < allowed * expected.abs().max()
    else:
        assert_accurate(y, expected, baseline, name)
    small = x / 16
    assert_accurate(
        fourier_mix(small), reference.fourier_mix(small.double()), reference.fourier_mix(small)
    )
    assert torch.equal(numbers, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["offset by one", "every other column", "transposed"])
def test_gradients_as_views(name: str, dtype: torch.dtype) -> None:
    x, weight, bias = inputs(3, 32, 64, dtype=dtype)
    grad = VIEWS[name](randn(100_000, dtype=dtype))
    for mine, copied in zip(
        step(x, weight, bias, grad), step(x, weight, bias, grad.contiguous()), strict=True
    ):
        error = (mine.double() - copied.double()).abs().max()
        assert error <= 4 * torch.finfo(dtype).eps * copied.double().abs().max()


def test_expanded_gradient() -> None:
    x, weight, bias = inputs(3, 32, 64)
    one = randn(1)
    ours = step(x, weight, bias, one.expand(3, 32, 64))
    copied = step(x, weight, bias, one.expand(3, 32, 64).contiguous())
    largest = max(float(t.abs().max()) for t in copied)
    for mine, other in zip(ours, copied, strict=True):
        assert (mine - other).abs().max() <= 1e-5 * largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_weight_and_bias_as_views(dtype: torch.dtype) -> None:
    x = randn(3, 32, 64, dtype=dtype)
    numbers = randn(1000, dtype=dtype)
    for weight, bias in (
        (numbers[1:65], numbers[101:165]),
        (numbers[:128:2], numbers[3:131:2]),
        (numbers[:1].expand(64), numbers[1:2].expand(64)),
    ):
        y = fused_fourier_mix(x, weight, bias)
        wide = (x.double(), weight.double(), bias.double())
        expected = reference.fused_fourier_mix(*wide)
        assert_accurate(y, expected, reference.fused_fourier_mix(x, weight, bias))


@pytest.mark.parametrize("shape", [(0, 16, 64), (2, 0, 64), (2, 16, 0), (0, 5, 7)], ids=str)
def test_empty(shape: tuple[int, ...]) -> None:
    x, weight, bias = inputs(*shape)
    y, dx, dweight, dbias = step(x, weight, bias, torch.ones_like(x))
    assert y.shape == dx.shape == fourier_mix(x).shape == x.shape
    assert dweight.shape == dbias.shape == weight.shape
    assert not dweight.any()
    assert not dbias.any()


@pytest.mark.parametrize("shape", [(3, 32, 64), (3, 37, 41)], ids=str)
def test_non_finite_values_stay_in_their_sequence(shape: tuple[int, ...]) -> None:
    x = randn(*shape)
    clean = fused_fourier_mix(x)
    for special in (float("nan"), float("inf")):
        x[1, 5, 7] = special
        y = fused_fourier_mix(x)
        assert y[1].isnan().all()
        assert not fourier_mix(x)[1].isfinite().any()
        assert torch.equal(y[0], clean[0])
        assert torch.equal(y[2], clean[2])


@pytest.mark.parametrize(("seq", "hidden"), [(16, 64), (3, 5)])
def test_more_sequences_than_a_launch_grid_has(seq: int, hidden: int) -> None:
    batch = 500 if REHEARSAL else 70_000
    x, weight, bias = inputs(batch, seq, hidden)
    grad = randn(batch, seq, hidden)
    y, dx, *_ = step(x, weight, bias, grad)
    if hidden >= 16:  # shorter rows may have little variance, which amplifies rounding
        true_y, true_dx, *_ = _reference_step(x, weight, bias, grad, torch.float64)
        baseline = reference.fused_fourier_mix(x, weight, bias)
        assert_accurate(y, true_y, baseline, "y", norm_magnitude(x))
        assert (dx - true_dx).abs().max() < 1e-4 * true_dx.abs().max()
    assert_accurate(fourier_mix(x), reference.fourier_mix(x.double()), reference.fourier_mix(x))


def _reference_step(
    x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor, dtype: torch.dtype
) -> list[Tensor]:
    leaves = [t.detach().to(dtype).requires_grad_() for t in (x, weight, bias)]
    y = reference.fused_fourier_mix(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad.to(dtype))]


def test_more_than_2_to_the_31_elements() -> None:
    batch, seq, hidden = (40, 16, 64) if REHEARSAL else (5500, 512, 768)
    elements = batch * seq * hidden
    need = 14 * elements  # x, y, rows, grad and dx of two bytes each, and temporary tensors
    if device.free_bytes() < need:
        pytest.skip(f"needs {need >> 30} GiB of free memory")
    x, weight, bias = inputs(1, seq, hidden, dtype=torch.bfloat16)
    x, grad = (
        torch.empty(batch, seq, hidden, dtype=torch.bfloat16, device=device.type).normal_()
        for _ in range(2)
    )
    y, dx, _, dbias = step(x, weight, bias, grad)
    last = batch - 1  # element 2^30 is in sequence 2730, and 2^31 in 5461
    for i in [0, 1, last] if REHEARSAL else [0, 2729, 2730, 2731, 5460, 5461, 5462, last]:
        one = (x[i : i + 1], weight, bias, grad[i : i + 1])
        true_y, true_dx, *_ = _reference_step(*one, torch.float64)
        assert_accurate(y[i : i + 1], true_y, None, f"sequence {i}")
        error = (dx[i : i + 1].double() - true_dx).abs().nan_to_num(nan=float("inf")).max()
        assert error < 4 * torch.finfo(x.dtype).eps * true_dx.abs().max(), f"sequence {i}"
    true_bias = sum(part.double().sum((0, 1)) for part in grad.split(100))
    assert isinstance(true_bias, Tensor)
    assert_accurate(dbias, true_bias, None, "bias")
