"""Accuracy by the limits of comparison.py: all lengths up to 64, and those that models use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from fnet_kernels import fourier_mix, fused_fourier_mix, hartley_mix, reference
from fnet_kernels._ops.load import operators
from python_tests.helpers import exact
from python_tests.helpers.comparison import assert_accurate, error_ratio, gradient_error_ratio

Isas = Callable[[], Iterator[str]]
Arguments = tuple[Tensor, Tensor, Tensor, float]

DTYPES = [
    torch.float32,
    pytest.param(
        torch.float64,
        marks=pytest.mark.skipif(not exact.EXTENDED, reason="no extended precision here"),
    ),
    torch.bfloat16,
    torch.float16,
]

#: (seq, hidden) of models, primes, odd pairs, long and wide matrices.
LARGE = [
    (512, 768),
    (512, 1024),
    (768, 1000),
    (1000, 96),
    (1009, 64),
    (33, 1009),
    (13, 509),
    (4096, 96),
    (16, 4096),
    (77, 143),
    (384, 640),
    (2048, 120),
]


def arguments(batch: int, seq: int, hidden: int, dtype: torch.dtype) -> Arguments:
    """x, weight, bias and eps.

    The numbers of a short row may be nearly equal. LayerNorm then divides the rounding errors of
    any implementation by almost zero, unless eps is near the usual variance, seq * hidden / 2.
    """
    x = torch.randn(batch, seq, hidden, dtype=torch.float64).to(dtype)
    weight, bias = (torch.rand(hidden) + 0.5).to(dtype), torch.randn(hidden).to(dtype)
    return x, weight, bias, 1e-12 if hidden >= 16 else seq * hidden / 2


def ours(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> dict[str, Tensor]:
    return {
        "mix": fourier_mix(x),
        "residual": operators.fourier_mix(x, 1.0, True),
        "norm": fused_fourier_mix(x, weight, bias, eps),
        "hartley": hartley_mix(x),
    }


def wide(*tensors: Tensor) -> list[Tensor]:
    """The tensors in at least float32, as torch.fft requires."""
    return [t.to(torch.promote_types(t.dtype, torch.float32)) for t in tensors]


def torchs(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> dict[str, Tensor]:
    x, weight, bias = wide(x, weight, bias)
    m = reference.fourier_mix(x)
    norm = layer_norm(x + m, weight.shape, weight, bias, eps)
    return {"mix": m, "residual": x + m, "norm": norm, "hartley": reference.hartley_mix(x)}


def in_use() -> Iterator[str]:
    yield operators.cpu_isa()


def worst(batch: int, seq: int, hidden: int, dtype: torch.dtype, isas: Isas) -> tuple[float, str]:
    """The worst ratio of an error to its limit over operators and instruction sets, and where."""
    args = arguments(batch, seq, hidden, dtype)
    expected, baseline = exact.forward(*args), torchs(*args)
    ratios = {op: error_ratio(expected[op], baseline[op], dtype) for op in expected}
    return max(
        (ratios[op](result), f"{op} of {seq}x{hidden} on {isa}")
        for isa in isas()
        for op, result in ours(*args).items()
    )


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("first", range(1, 65, 8))
def test_all_small_lengths(first: int, dtype: torch.dtype, each_isa: Isas) -> None:
    # Enough sequences for typical errors; results in 16 bits have one rounding.
    minimum = 8 if dtype.itemsize > 2 else 3
    for seq in range(first, first + 8):
        for hidden in range(1, 65):
            on_all = (seq + hidden) % 3 == 0  # each length, as seq and as hidden
            if dtype != torch.float32 and not on_all:
                continue
            batch = max(minimum, minimum * 512 // (seq * hidden))
            isas = each_isa if on_all else in_use
            found, where = worst(batch, seq, hidden, dtype, isas)
            assert found <= 1, where


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("seq", "hidden"), LARGE)
def test_large_lengths(seq: int, hidden: int, dtype: torch.dtype, each_isa: Isas) -> None:
    found, where = worst(2 if seq * hidden < 1 << 18 else 1, seq, hidden, dtype, each_isa)
    assert found <= 1, where


@pytest.mark.usefixtures("general_path")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("seq", "hidden"), [(512, 96), (37, 50), (1009, 64), (33, 1009)])
def test_the_general_path(seq: int, hidden: int, dtype: torch.dtype) -> None:
    found, where = worst(2, seq, hidden, dtype, in_use)
    assert found <= 1, where


#: Shapes with enough columns for typical errors of the gradients of weight and bias.
GRADIENT_LENGTHS = [
    (512, 768),
    (37, 96),
    (60, 77),
    (64, 96),
    (1, 64),
    (30, 44),
    (7, 50),
    (16, 509),
    (13, 509),
]


def gradients(function: Callable[..., Tensor], args: Arguments, grad: Tensor) -> dict[str, Tensor]:
    leaves = [t.detach().requires_grad_() for t in args[:3]]
    found = torch.autograd.grad(function(*leaves, args[3]), leaves, grad)
    return dict(zip(("x", "weight", "bias"), found, strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("seq", "hidden"), GRADIENT_LENGTHS)
def test_gradients(seq: int, hidden: int, dtype: torch.dtype, each_isa: Isas) -> None:
    *tensors, eps = args = arguments(3, seq, hidden, dtype)
    grad = torch.randn(3, seq, hidden, dtype=torch.float64).to(dtype)
    expected = exact.gradients(args[0], args[1], eps, grad)
    baseline = gradients(reference.fused_fourier_mix, (*wide(*tensors), eps), *wide(grad))
    ratios = {
        name: gradient_error_ratio(expected[name], baseline[name], dtype)
        for name in ("x", "weight")
    }
    ratios["bias"] = error_ratio(expected["bias"], baseline["bias"], dtype)  # a plain sum
    for isa in each_isa():
        for name, result in gradients(fused_fourier_mix, args, grad).items():
            assert ratios[name](result) <= 1, f"{name} on {isa}"


@pytest.mark.parametrize("scale", [0.0, -1.0, (48 * 96) ** -0.5, 3.7])
def test_scale(scale: float) -> None:
    x = torch.randn(2, 48, 96)
    expected = reference.fused_fourier_mix(x.double(), scale=scale)
    baseline = reference.fused_fourier_mix(x, scale=scale)
    assert_accurate(fused_fourier_mix(x, scale=scale), expected, baseline)


def test_an_offset_costs_no_accuracy() -> None:
    x = torch.randn(2, 64, 96) + 1000
    expected, baseline = reference.fused_fourier_mix(x.double()), reference.fused_fourier_mix(x)
    assert_accurate(fused_fourier_mix(x), expected, baseline)


def test_eps_of_rows_without_variance() -> None:
    x = torch.full((1, 4, 8), 0.25)
    x[0, 0] = torch.linspace(0, 1, 8)
    expected = reference.fused_fourier_mix(x.double(), eps=1.0)
    assert_accurate(
        fused_fourier_mix(x, eps=1.0), expected, reference.fused_fourier_mix(x, eps=1.0)
    )


def test_float16_sums_may_exceed_its_range() -> None:
    x = torch.full((1, 512, 768), 1.0) + torch.randn(1, 512, 768) / 8  # the DC term is 393,216
    x = x.to(torch.float16)
    assert not reference.fourier_mix(x).isfinite().all()
    expected, baseline = (reference.fused_fourier_mix(wide) for wide in (x.double(), x.float()))
    assert_accurate(fused_fourier_mix(x), expected, baseline)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("seq", "hidden"), [(512, 96), (509, 96), (512, 98)])
def test_outputs_with_non_temporal_stores(
    seq: int, hidden: int, dtype: torch.dtype, each_isa: Isas
) -> None:
    """Large outputs with rows of whole cache lines use non-temporal stores (streaming.cpp)."""
    row = hidden * dtype.itemsize
    assert (row % 64 == 0) == (hidden == 96)
    assert torch.empty(2 * seq, row).data_ptr() % 64 == 0
    operators.set_stream_bytes(2 * seq * row)
    try:
        found, where = worst(2, seq, hidden, dtype, each_isa)
    finally:
        operators.set_stream_bytes(0)
    assert found <= 1, where
