"""The comparisons must reject wrong results, or the other tests prove nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_accuracy import DTYPES, arguments, gradients, ours, torchs, wide
from torch import Tensor

from fnet_kernels import fused_fourier_mix, reference
from python_tests.helpers import close, exact
from python_tests.helpers.comparison import (
    error_ratio,
    gradient_error_ratio,
    largest_of_a_sequence,
    root_mean_square,
)

Mutant = Callable[[Tensor], Tensor]
Accepts = Callable[[Tensor], bool]


def at_one_place(change: Callable[[Tensor], Tensor]) -> Mutant:
    """`change` gives what is added there, in float64."""

    def mutant(y: Tensor) -> Tensor:
        other = y.double()
        other.view(-1)[5 * y.shape[-1] + 7 if y.ndim > 1 else 7] += change(y.double())
        return other.to(y.dtype)

    return mutant


def perturbed(y: Tensor) -> Tensor:
    """By 1e-3 of the largest value, or by two roundings where those are coarser (bfloat16)."""
    step = max(1e-3, 2 * torch.finfo(y.dtype).eps)
    return at_one_place(lambda wide: step * wide.abs().max())(y)


#: For results of any shape.
MUTANTS: dict[str, Mutant] = {
    "zero": torch.zeros_like,
    "nan": lambda y: torch.full_like(y, float("nan")),
    "one nan": at_one_place(lambda wide: wide.new_tensor(float("nan"))),
    "one infinity": at_one_place(lambda wide: wide.new_tensor(float("inf"))),
    "shifted hidden": lambda y: y.roll(1, -1),
    "scaled": lambda y: y * 1.02,
    "perturbed": perturbed,
}
#: For sequences.
SEQUENCE_MUTANTS: dict[str, Mutant] = {
    "shifted seq": lambda y: y.roll(1, 1),
    "mirrored": lambda y: y.flip(1, 2),
    "mirror off by one": lambda y: torch.cat([y[:, :17], y[:, 17:].roll(1, 2)], 1),
    "batches swapped": lambda y: y.flip(0),
}


def comparisons(dtype: torch.dtype) -> dict[str, tuple[Tensor, Accepts]]:
    """By name: a right result and what accepts it."""
    *tensors, eps = args = arguments(2, 32, 48, dtype)
    grad = torch.randn(2, 32, 48, dtype=torch.float64).to(dtype)
    found: dict[str, tuple[Tensor, Accepts]] = {}

    def add(name: str, result: Tensor, ratio: Callable[[Tensor], float]) -> None:
        found[name] = (result, lambda y: ratio(y) <= 1)

    expected, baseline = exact.forward(*args), torchs(*args)
    for op, result in ours(*args).items():
        add(op, result, error_ratio(expected[op], baseline[op], dtype))
    expected = exact.gradients(args[0], args[1], eps, grad)
    baseline = gradients(reference.fused_fourier_mix, (*wide(*tensors), eps), *wide(grad))
    for name, result in gradients(fused_fourier_mix, args, grad).items():
        add(
            f"gradient of {name}",
            result,
            gradient_error_ratio(expected[name], baseline[name], dtype),
        )
    right = torch.from_numpy(exact.forward(*args)["norm"].astype(float))
    tolerance = close.tolerance(dtype)
    add("close", right.to(dtype), lambda y: close.relative_error(y, right) / tolerance)
    return found


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_comparison_rejects_every_mutant(dtype: torch.dtype) -> None:
    for name, (right, accepts) in comparisons(dtype).items():
        assert accepts(right), name
        mutants = MUTANTS | (SEQUENCE_MUTANTS if right.ndim == 3 else {})
        for mutation, mutant in mutants.items():
            assert not accepts(mutant(right)), f"{mutation} {name}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_twice_the_error_of_torch_is_the_limit(dtype: torch.dtype) -> None:
    expected = torch.randn(64, 8, 8, dtype=torch.float64).to(dtype)
    error = torch.randn(64, 8, 8).to(dtype) * 64 * torch.finfo(dtype).eps
    ratio = error_ratio(expected, expected + error, dtype)
    assert 0.9 < ratio(expected + 1.9 * error) < 1
    assert ratio(expected + 2.1 * error) > 1  # a little wrong everywhere
    place = error.clone()
    place[:, 3, 5] = 2.2 * error.abs().amax((1, 2))
    assert root_mean_square(place) < 1.5 * root_mean_square(error)
    assert ratio(expected + place) > 1  # at one place of every sequence
    outlier = error.clone()
    outlier[7, 3, 5] = 2.2 * error.abs().max()
    assert largest_of_a_sequence(outlier) < 1.5 * largest_of_a_sequence(error)
    assert ratio(expected + outlier) > 1  # at one place of all


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_one_rounding_is_the_limit_of_16_bits(dtype: torch.dtype) -> None:
    expected = torch.randn(4, 8, 8, dtype=torch.float64)
    ratio = error_ratio(expected, expected.float(), dtype)
    rounded = expected.to(dtype)
    assert 0.9 < ratio(rounded) < 1
    ulp_less = torch.nextafter(rounded, torch.zeros_like(rounded))
    truncated = torch.where(rounded.double().abs() > expected.abs(), ulp_less, rounded)
    assert ratio(truncated) > 1
    smallest = rounded.abs() == rounded.abs().min()
    assert ratio(torch.where(smallest, ulp_less, rounded)) > 1  # one element, by one ulp


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_three_roundings_are_the_limit_of_gradients_of_16_bits(dtype: torch.dtype) -> None:
    expected = torch.randn(4, 32, 48, dtype=torch.float64)
    ratio = gradient_error_ratio(expected, expected.float(), dtype)
    rounding = (expected.to(dtype).double() - expected).flatten()
    independent = sum(rounding[torch.randperm(len(rounding))].view_as(expected) for _ in range(4))
    assert ratio((expected + independent / 2).to(dtype)) < 1  # 4 / 4 + 1: the square root of 2
    assert ratio((expected + independent).to(dtype)) > 1  # of 5


def test_a_comparison_with_zeros_is_refused() -> None:
    zeros = torch.zeros(2, 3, 4)
    for compare in (error_ratio, gradient_error_ratio):
        with pytest.raises(AssertionError, match="proves nothing"):
            compare(zeros, zeros, torch.float32)
    with pytest.raises(AssertionError, match="proves nothing"):
        close.assert_close(zeros, zeros)
    with pytest.raises(AssertionError):
        close.assert_close(torch.ones(2, 3), torch.ones(3, 2))


def test_a_truth_of_something_else_is_refused() -> None:
    x = torch.randn(2, 3, 4)
    with pytest.raises(AssertionError, match="do not match"):
        error_ratio(1.1 * x.double(), x, torch.float32)
