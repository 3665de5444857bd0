"""A non-finite value makes all elements of its own sequence non-finite, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from fnet_kernels import explain, fourier_mix, fused_fourier_mix, hartley_mix
from fnet_kernels._ops.load import operators
from python_tests.helpers.general_path import on_the_general_path

Isas = Callable[[], Iterator[str]]

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
SPECIAL = torch.tensor([float("nan"), float("inf"), float("-inf")])

#: (seq, hidden) of numbers, rows, columns and matrices, for the kernels and the general path.
GENERAL = [(1, 17), (1, 1009), (37, 1), (6, 17), (37, 41), (38, 9)]
KERNELS = [(1, 1), (1, 5), (1, 64), (7, 1), (64, 1), (6, 10), (30, 44), (26, 77), (128, 96)]
KERNELS += [*GENERAL, (1, 2), (1, 12), (1, 719), (47, 19), (289, 2)]
#: Known exceptions; each list has at least one per dtype. The entry at n = seq / 4 affects half
#: of its column's spectrum in the imaginary part only, because butterflies multiply by -i without
#: arithmetic. The real part stays finite in `torch.fft`, and in our kernels if no second column
#: shares the line (the last line of a block). Outputs that depend only on it stay finite too.
KERNELS_EXCEPTIONS = [(32, 6), (8, 12), (4, 8)]
GENERAL_EXCEPTIONS = [(4, 17), (37, 8)]


def gradient(x: Tensor, grad: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    return torch.autograd.grad(fused_fourier_mix(leaf, eps=1e-3), leaf, grad)[0]


def assert_contained(run: Callable[[Tensor], Tensor], clean: Tensor) -> None:
    """Check `run` with a non-finite value in every second sequence of `clean`, at varied places."""
    odd = torch.arange(1, len(clean), 2)
    size = clean[0].numel()
    places, kinds = odd // 2 % size, (odd // 2 + odd // 2 // size) % 3
    poisoned = clean.clone()
    poisoned.view(len(clean), size)[odd, torch.randperm(size)[places]] = SPECIAL.to(clean)[kinds]
    result = run(poisoned)
    assert not result[1::2].isfinite().any()
    assert torch.equal(result[::2], run(clean)[::2])


def assert_contract(seq: int, hidden: int, dtype: torch.dtype, each_isa: Isas) -> None:
    x, grad = (torch.randn(193, seq, hidden).to(dtype) for _ in range(2))
    for _ in each_isa():
        assert_contained(fourier_mix, x)
        assert_contained(lambda x: operators.fourier_mix(x, 1.0, True), x)
        assert_contained(hartley_mix, x)
        assert_contained(lambda x: fused_fourier_mix(x, eps=1e-3), x)
        assert_contained(lambda x: gradient(x, grad), x)
        assert_contained(lambda grad: gradient(x, grad), grad)


@pytest.mark.parametrize("bits", [-1, 0x7FFFFFFF, 0x7F800001, 0x7FC00000])
@pytest.mark.parametrize("path", ["auto", "general"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_each_nan_of_weight_and_bias(
    bits: int, path: str, norm_first: bool, each_isa: Isas
) -> None:
    """float32 beside bfloat16, whose rounding would carry out of a NaN with lower bits set."""
    nan = torch.tensor(bits, dtype=torch.int64).to(torch.int32).view(torch.float32)
    x, ones = torch.randn(2, 8, 64).bfloat16(), torch.ones(64)
    place = torch.arange(64) == 5
    poisoned = torch.where(place, nan, ones)
    with on_the_general_path() if path == "general" else nullcontext():
        for _ in each_isa():
            for affine in ((poisoned, ones), (ones, poisoned)):
                y = fused_fourier_mix(x, *affine, norm_first=norm_first)
                expected = place if not norm_first else torch.ones_like(place)
                assert torch.equal(y.isnan(), expected.expand_as(y))
            leaf = x.detach().requires_grad_()
            fused_fourier_mix(leaf, poisoned, ones, norm_first=norm_first).sum().backward()
            assert leaf.grad is not None
            assert leaf.grad.isnan().all()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("seq", "hidden"), KERNELS)
def test_it_fills_only_its_sequence(
    seq: int, hidden: int, dtype: torch.dtype, each_isa: Isas
) -> None:
    assert explain((1, seq, hidden), dtype=dtype).path == "kernels"
    assert_contract(seq, hidden, dtype, each_isa)


@pytest.mark.usefixtures("one_thread", "general_path")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("seq", "hidden"), GENERAL)
def test_it_fills_only_its_sequence_on_the_general_path(
    seq: int, hidden: int, dtype: torch.dtype, each_isa: Isas
) -> None:
    assert explain((1, seq, hidden), dtype=dtype).path == "general"
    assert_contract(seq, hidden, dtype, each_isa)


KNOWN = pytest.mark.xfail(strict=True, raises=AssertionError, reason="some outputs stay finite")


@KNOWN
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_known_exceptions(dtype: torch.dtype, each_isa: Isas) -> None:
    for seq, hidden in KERNELS_EXCEPTIONS:
        assert_contract(seq, hidden, dtype, each_isa)


@KNOWN
@pytest.mark.usefixtures("one_thread", "general_path")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_known_exceptions_on_the_general_path(dtype: torch.dtype, each_isa: Isas) -> None:
    for seq, hidden in GENERAL_EXCEPTIONS:
        assert_contract(seq, hidden, dtype, each_isa)


MUTANTS: dict[str, Callable[[Tensor], Tensor]] = {
    "finite again": lambda y: y.nan_to_num(),
    "one finite element": lambda y: y.index_fill(-1, torch.tensor(0), 1.0),
    "in the next sequence": lambda y: y.roll(1, 0),
    "also in the next sequence": lambda y: y + 0 * y.roll(1, 0),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_violations_are_detected(mutant: str) -> None:
    with pytest.raises(AssertionError):
        assert_contained(lambda x: MUTANTS[mutant](fourier_mix(x)), torch.randn(193, 6, 10))


def test_a_statistic_that_is_any_nan_stays_one() -> None:
    """In 16 bits a NaN of all ones would round to -0."""
    x, grad = (torch.randn(2, 8, 16, dtype=torch.bfloat16) for _ in range(2))
    for poisoned in ("mean", "rstd"):
        numbers = {"mean": torch.zeros(2, 8), "rstd": torch.ones(2, 8)}
        numbers[poisoned].view(torch.int32)[0, 0] = 0x7FFFFFFF
        dx = operators.prenorm_fourier_mix_backward(
            grad, x, *numbers.values(), None, 1e-12, 1.0, False, False, False
        )[0]
        assert dx[0, 0].isnan().all(), poisoned
        assert dx[1].isfinite().all()
