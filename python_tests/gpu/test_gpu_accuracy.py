"""Accuracy on the device, of our kernels and of the general path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gpu_accuracy import OPS, assert_accurate, norm_is_defined, norm_magnitude
from on_device import ALL_DTYPES, FORWARD_ONLY, REHEARSAL, inputs, listed_pairs, randn
from torch import Tensor

from fnet_kernels import explain, fused_fourier_mix, reference
from fnet_kernels._ops.load import operators

LISTED = listed_pairs()
#: Primes and odd numbers, and pairs of which only one length has a kernel.
GENERAL = [
    (1, 64),
    (2, 5),
    (7, 64),
    (17, 768),
    (509, 768),
    (512, 97),
    (512, 765),
    (509, 1009),
    (1000, 1000),
    (33, 77),
    (77, 143),
    (8191, 64),
    (16, 4095),
]
#: Batches that run in several slices.
SLICED = [(40, 512, 768), (7, 2048, 1024), (300, 128, 768), (33, 4096, 64)]

if REHEARSAL:
    LISTED, GENERAL, SLICED = LISTED[:1], [(1, 64), (17, 77)], [(40, 16, 64)]


def batch_of(seq: int, hidden: int) -> int:
    return max(1, min(3, (1 << 25) // (seq * hidden)))


def check_forward(x: Tensor) -> None:
    """Check the transform, with residual and with LayerNorm."""
    for name, (ours, torchs) in OPS.items():
        if x.dtype == torch.float16 and name != "norm":
            x = x / 16  # keeps the results in the range of float16; those of LayerNorm always fit
        if not norm_is_defined(name, x):
            continue
        expected = torchs(x.double())
        if x.dtype == torch.float64:  # the expected result has a similar error: use a fixed bound
            error = float((ours(x) - expected).abs().max())
            assert error < 64 * torch.finfo(x.dtype).eps * float(expected.abs().max()), name
            continue
        small = name == "norm" and x.shape[-1] <= 64
        magnitude = norm_magnitude(x) if small else 0.0
        assert_accurate(ours(x), expected, torchs(x), name, magnitude)


def check_gradients(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    grad: Tensor,
    change: Callable[[Tensor], Tensor] = lambda dx: dx,
) -> None:
    """Check the gradients of x, weight and bias; a mutant passes `change` for that of x."""
    if FORWARD_ONLY:
        return
    dtype = x.dtype

    def gradients(function: Callable[..., Tensor], to: torch.dtype) -> tuple[Tensor, ...]:
        leaves = [t.detach().to(to).requires_grad_() for t in (x, weight, bias)]
        return torch.autograd.grad(function(*leaves), leaves, grad.to(to))

    dx, *others = gradients(fused_fourier_mix, dtype)
    ours = (change(dx), *others)
    expected = gradients(reference.fused_fourier_mix, torch.float64)
    baseline = gradients(reference.fused_fourier_mix, torch.promote_types(dtype, torch.float32))
    for name, mine, true, base in zip(
        ("x", "weight", "bias"), ours, expected, baseline, strict=True
    ):
        if dtype == torch.float32:
            assert_accurate(mine, true, base, name)
        else:  # 16 bits: the stored rows and du add two more roundings
            allowed = 1e-12 if dtype == torch.float64 else 4 * torch.finfo(dtype).eps
            error = (mine.double() - true).abs().nan_to_num(nan=float("inf")).max()
            assert error < allowed * true.abs().max(), name


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
@pytest.mark.parametrize(("seq", "hidden"), [*LISTED, *GENERAL])
def test_lengths(seq: int, hidden: int, dtype: torch.dtype) -> None:
    if dtype == torch.float64 and (seq, hidden) in LISTED and seq * hidden > 1 << 20:
        pytest.skip("float64 has only the general path, which shorter lengths test")
    batch = batch_of(seq, hidden)
    x, weight, bias = inputs(batch, seq, hidden, dtype=dtype)
    check_forward(x)
    if hidden >= 16 and norm_is_defined("norm", x):
        check_gradients(x, weight, bias, randn(batch, seq, hidden, dtype=dtype))


@pytest.mark.parametrize("dtype", ALL_DTYPES[:1] + ALL_DTYPES[2:], ids=str)
@pytest.mark.parametrize(("seq", "hidden"), [pair for pair in LISTED if 64 in pair or 16 in pair])
def test_pre_norm_at_lengths_with_kernels(seq: int, hidden: int, dtype: torch.dtype) -> None:
    """Each length has a kernel that reads rows to be normalised."""
    x, weight, bias = inputs(batch_of(seq, hidden), seq, hidden, dtype=dtype)
    options: dict[str, Any] = {"norm": "ortho", "norm_first": True}
    wide = (t.double() for t in (x, weight, bias))
    expected = reference.fused_fourier_mix(*wide, **options)
    y = fused_fourier_mix(x, weight, bias, **options)
    assert_accurate(y, expected, reference.fused_fourier_mix(x, weight, bias, **options))


@pytest.mark.skipif(REHEARSAL, reason="CPUs have no path switch")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_general_path_at_lengths_with_kernels(dtype: torch.dtype) -> None:
    x, weight, bias = inputs(3, 512, 768, dtype=dtype)
    y = fused_fourier_mix(x)
    operators.set_cuda_path("general")
    try:
        assert explain(x).path == "general"
        check_forward(x)
        check_gradients(x, weight, bias, randn(3, 512, 768, dtype=dtype))
        assert dtype != torch.float32 or not torch.equal(y, fused_fourier_mix(x))
    finally:
        operators.set_cuda_path("auto")
    assert explain(x).path == "kernels"
    assert torch.equal(y, fused_fourier_mix(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SLICED, ids=str)
def test_large_batches(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    x, weight, bias = inputs(*shape, dtype=dtype)
    check_forward(x)
    check_gradients(x, weight, bias, randn(*shape, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_small_lengths(dtype: torch.dtype) -> None:
    step = 9 if REHEARSAL else 3
    for seq in range(1, 26, step):
        for hidden in range(1, 26):
            check_forward(randn(3, seq, hidden, dtype=dtype))


@pytest.mark.parametrize("shape", [(2, 512, 768), (2, 37, 48)], ids=str)
@pytest.mark.parametrize("scale", [0.0, -1.0, (512 * 768) ** -0.5, 3.7])
def test_scale(scale: float, shape: tuple[int, ...]) -> None:
    x = randn(*shape)
    expected = reference.fused_fourier_mix(x.double(), scale=scale)
    baseline = reference.fused_fourier_mix(x, scale=scale)
    assert_accurate(fused_fourier_mix(x, scale=scale), expected, baseline)


@pytest.mark.parametrize("given", ["", "weight", "bias"])
def test_weight_and_bias_are_optional(given: str) -> None:
    x, weight, bias = inputs(2, 64, 128)
    vectors = (weight if given == "weight" else None, bias if given == "bias" else None)
    wide = [None if v is None else v.double() for v in vectors]
    expected = reference.fused_fourier_mix(x.double(), *wide)
    y = fused_fourier_mix(x.requires_grad_(), *vectors)
    assert_accurate(y, expected, reference.fused_fourier_mix(x, *vectors))
    assert_accurate(fused_fourier_mix(x.detach(), *vectors), expected, y)
    leaf = x.detach().double().requires_grad_()
    grad = randn(2, 64, 128)
    (mine,) = torch.autograd.grad(y, x, grad)
    (true,) = torch.autograd.grad(reference.fused_fourier_mix(leaf, *wide), leaf, grad.double())
    assert (mine - true).abs().max() < 3e-6 * true.abs().max()


def test_float16_sums_may_exceed_its_range() -> None:
    x, weight, bias = inputs(1, 512, 768)
    x = (1 + x / 8).to(torch.float16)  # the DC term is 393,216
    assert not reference.fourier_mix(x).isfinite().all()
    y = fused_fourier_mix(x)
    assert y.isfinite().all()
    assert_accurate(y, reference.fused_fourier_mix(x.double()), None)
    check_gradients(x, weight.half(), bias.half(), randn(1, 512, 768, dtype=torch.float16))


@pytest.mark.parametrize("shape", [(2, 512, 768), (2, 509, 96)], ids=str)
@pytest.mark.parametrize("grad_scale", [1e-2, 4096.0])
def test_float16_gradients_neither_overflow_nor_vanish(
    grad_scale: float, shape: tuple[int, ...]
) -> None:
    # du = g / sigma is much smaller than g, and its transform much larger than du.
    x, weight, bias = inputs(*shape)
    x, weight, bias = (16 * x).half(), weight.half(), bias.half()
    grad = (grad_scale * randn(*shape)).half()
    leaf = x.detach().double().requires_grad_()
    y = reference.fused_fourier_mix(leaf, weight.double(), bias.double())
    (true,) = torch.autograd.grad(y, leaf, grad.double())
    leaf = x.detach().requires_grad_()
    (mine,) = torch.autograd.grad(fused_fourier_mix(leaf, weight, bias), leaf, grad)
    error = (mine.double() - true).abs().nan_to_num(nan=float("inf")).max()
    smallest = 2.0**-24  # the smallest float16, to which dx is rounded in any case
    assert error < 4 * torch.finfo(torch.float16).eps * true.abs().max() + smallest


def perturbed(y: Tensor) -> Tensor:
    """Change one number by 1e-3 of the largest, or by four roundings if they are larger."""
    wide = y.double()
    wide[0, 5, 7] += max(1e-3, 4 * torch.finfo(y.dtype).eps) * wide.abs().max()
    return wide.to(y.dtype)


def one_nan(y: Tensor) -> Tensor:
    y = y.clone()
    y[1, 3, 0] = float("nan")
    return y


MUTANTS: dict[str, Callable[[Tensor], Tensor]] = {
    "zero": torch.zeros_like,
    "one nan": one_nan,
    "shifted seq": lambda y: y.roll(1, 1),
    "shifted hidden": lambda y: y.roll(1, 2),
    "mirrored": lambda y: y.flip(1, 2),
    "batches swapped": lambda y: y.flip(0),
    "perturbed": perturbed,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_rejected(mutant: str, dtype: torch.dtype) -> None:
    x = randn(2, 32, 64, dtype=dtype)
    for ours, torchs in ((fused_fourier_mix, reference.fused_fourier_mix), OPS["mix"]):
        expected, baseline = torchs(x.double()), torchs(x)
        assert_accurate(ours(x), expected, baseline)
        with pytest.raises(AssertionError):
            assert_accurate(MUTANTS[mutant](ours(x)), expected, baseline)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_gradients_are_rejected(mutant: str) -> None:
    x, weight, bias = inputs(2, 32, 64)
    for dtype in (torch.float32, torch.bfloat16):
        args = [t.to(dtype) for t in (x, weight, bias, randn(2, 32, 64))]
        check_gradients(*args)
        with pytest.raises(AssertionError):
            check_gradients(*args, change=MUTANTS[mutant])
