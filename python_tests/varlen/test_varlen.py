"""Sequences of different lengths: bitwise what each gives alone, however they are given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import fnet_kernels as fk
from python_tests.helpers.sequences import offsets, one_by_one, padded

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
#: Hidden sizes and lengths: tiles, one sequence per lane, long axes, primes, empty sequences.
CASES = [
    (96, [7, 0, 130, 1, 64, 33, 64]),
    (768, [16, 200, 197, 3]),
    (1, [5, 1, 0, 9]),
    (2, [3000, 4, 4099]),
    (1031, [2, 3, 17]),
    (24, [4] * 40),
    (24, []),
    (24, [0, 0]),
]
quick = settings(max_examples=40, deadline=None, derandomize=True)


def vectors(hidden: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return torch.randn(hidden).to(dtype), torch.randn(hidden).to(dtype)


def calls(hidden: int, dtype: torch.dtype, **options: Any) -> list[tuple[Any, Any]]:
    """Functions of packed rows and offsets, and of one sequence, that do the same."""
    affine = vectors(hidden, dtype)
    return [
        (partial(fk.fourier_mix_varlen, **options), partial(fk.fourier_mix, **options)),
        (
            lambda x, cu, **more: fk.fused_fourier_mix_varlen(
                x, cu, *affine, 1e-3, **options, **more
            ),
            lambda x: fk.fused_fourier_mix(x, *affine, 1e-3, **options),
        ),
    ]


@pytest.mark.parametrize("round_to", [None, 8, 64])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_sequence_is_mixed_alone(
    case: tuple[int, list[int]], dtype: torch.dtype, round_to: int | None
) -> None:
    hidden, lengths = case
    x = torch.randn(sum(lengths), hidden).to(dtype)
    for varlen, alone in calls(hidden, dtype, scale=0.5, norm="ortho"):
        y = varlen(x, offsets(lengths), round_to=round_to)
        assert y.dtype == dtype
        assert torch.equal(y, one_by_one(alone, x, lengths, round_to))


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward", None])
def test_norm_counts_the_own_length(norm: Any) -> None:
    lengths, x = [3, 10, 4], torch.randn(17, 24)
    for varlen, alone in calls(24, torch.float32, norm=norm):
        for round_to in (None, 16):
            expected = one_by_one(alone, x, lengths, round_to)
            assert torch.equal(varlen(x, offsets(lengths), round_to=round_to), expected)


@pytest.mark.usefixtures("general_path")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_sequence_is_mixed_alone_on_the_general_path(dtype: torch.dtype) -> None:
    for round_to in (None, 8):
        test_each_sequence_is_mixed_alone(CASES[0], dtype, round_to)


def test_lengths_with_and_without_kernels_in_one_call() -> None:
    lengths = [1_048_583, 12]  # a prime beyond the bound of our kernels
    assert fk.explain((lengths[0], 2)).path == "general"
    x = torch.randn(sum(lengths), 2)
    for varlen, alone in calls(2, torch.float32):
        assert torch.equal(varlen(x, offsets(lengths)), one_by_one(alone, x, lengths))


def test_each_instruction_set(each_isa: Callable[[], Any]) -> None:
    x, lengths = torch.randn(300, 100), [100, 37, 163]
    for _ in each_isa():
        for varlen, alone in calls(100, torch.float32):
            for round_to in (None, 32):
                expected = one_by_one(alone, x, lengths, round_to)
                assert torch.equal(varlen(x, offsets(lengths), round_to=round_to), expected)


LENGTHS = st.lists(st.one_of(st.integers(0, 40), st.sampled_from([64, 97, 128])), max_size=8)


@quick
@given(LENGTHS, LENGTHS, st.integers(1, 128), st.sampled_from([1, 3, 16, 97]), st.booleans())
def test_a_sequence_does_not_depend_on_its_batch(
    before: list[int], after: list[int], length: int, hidden: int, rounded: bool
) -> None:
    """To the bit, packed and padded, forward and backward."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"round_to": 16 if rounded else None, "eps": 1e-3}
    lengths = [*before, length, *after]
    x = torch.randn(sum(lengths), hidden)
    own = slice(sum(before), sum(before) + length)
    weight, grad = torch.randn(hidden), torch.randn(x.shape)

    def run(rows: Tensor, ends: list[int], dy: Tensor) -> list[Tensor]:
        rows = rows.clone().requires_grad_()
        y = fk.fused_fourier_mix_varlen(rows, offsets(ends), weight, **options)
        return [y.detach(), *torch.autograd.grad(y, rows, dy)]

    def run_padded(rows: Tensor, ends: list[int], dy: Tensor) -> list[Tensor]:
        seq = max(ends) + 3
        batch = padded(rows, ends, seq, torch.nan).requires_grad_()
        y = fk.fused_fourier_mix(batch, weight, lengths=ends, **options)
        (dx,) = torch.autograd.grad(y, batch, padded(dy, ends, seq, torch.nan))
        return [torch.cat([row[:n] for row, n in zip(t, ends, strict=True)]) for t in (y, dx)]

    alone = run(x[own], [length], grad[own])
    for results in (run(x, lengths, grad), run_padded(x, lengths, grad)):
        for one, several in zip(alone, results, strict=True):
            assert torch.equal(several[own], one)
    assert not torch.equal(run(x[own] + 1e-3, [length], grad[own])[1], alone[1]) or hidden == 1


@pytest.mark.usefixtures("threads_restored")
@pytest.mark.parametrize(
    "lengths",
    [[512, 3, 40, 900], [2000], [64] * 30 + [1], list(range(80)), [9, 0, 30, 2] * 12],
    ids=str,
)
def test_any_number_of_threads_gives_the_same_bits(lengths: list[int]) -> None:
    """Packed and padded, also where all threads share the longest sequences."""
    packed = [torch.randn(sum(lengths), 96) for _ in range(2)]  # x and the gradient of y
    batch = [padded(t, lengths, max(lengths) + 1, torch.nan) for t in packed]
    affine = [t.requires_grad_() for t in vectors(96, torch.float32)]
    valid = batch[0].isfinite().all(-1)
    found = []
    for threads in (1, 2, 3, 8, 64):
        torch.set_num_threads(threads)
        for mix, (x, grad) in (
            (partial(fk.fused_fourier_mix_varlen, cu_seqlens=offsets(lengths)), packed),
            (partial(fk.fused_fourier_mix, lengths=lengths), batch),
        ):
            x.requires_grad_()
            y = mix(x, weight=affine[0], bias=affine[1], eps=1e-3)
            dx, *sums = torch.autograd.grad(y, [x, *affine], grad)
            rows = [t[valid] if t.ndim == 3 else t for t in (y.detach(), dx)]
            found.append([*rows, *sums])
    for results in found[1:]:
        for one, other in zip(found[0], results, strict=True):
            assert torch.equal(one, other)


def layouts() -> dict[str, Tensor]:
    base = torch.randn(60, 50)
    return {
        "sliced columns": base[:, 7:31],
        "every other row": torch.randn(120, 24)[::2],
        "transposed": torch.randn(24, 60).T,
        "expanded": torch.randn(1, 24).expand(60, 24),
    }


@pytest.mark.parametrize("name", layouts())
def test_any_strides(name: str) -> None:
    x, lengths = layouts()[name], [20, 0, 33, 7]
    before = x.clone()
    for varlen, alone in calls(24, torch.float32):
        assert torch.equal(varlen(x, offsets(lengths)), one_by_one(alone, x.contiguous(), lengths))
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("round_to", [None, 16])
def test_padded_rows(dtype: torch.dtype, round_to: int | None) -> None:
    """Rows past a length are not read, and are zeros in the result and in the gradient."""
    lengths, seq = [4, 10, 0, 7], 10
    packed = torch.randn(21, 24).to(dtype)
    weight, bias = vectors(24, dtype)
    x = padded(packed, lengths, seq, torch.nan).requires_grad_()
    expected = fk.fused_fourier_mix_varlen(
        packed, offsets(lengths), weight, bias, round_to=round_to
    )
    y = fk.fused_fourier_mix(x, weight, bias, lengths=lengths, round_to=round_to)
    assert torch.equal(y, padded(expected, lengths, seq))
    grad = torch.randn(21, 24).to(dtype)
    (dx,) = torch.autograd.grad(y, x, padded(grad, lengths, seq, torch.nan))
    rows = packed.requires_grad_()
    again = fk.fused_fourier_mix_varlen(rows, offsets(lengths), weight, bias, round_to=round_to)
    assert torch.equal(dx, padded(torch.autograd.grad(again, rows, grad)[0], lengths, seq))

    mixed = fk.fourier_mix(x.detach(), lengths=lengths, round_to=round_to)
    alone = fk.fourier_mix_varlen(packed.detach(), offsets(lengths), round_to=round_to)
    assert torch.equal(mixed, padded(alone, lengths, seq))


def test_lengths_may_be_ints_a_tensor_or_a_mask() -> None:
    x, lengths = torch.randn(2, 3, 8, 12), [[3, 0, 8], [1, 5, 7]]
    flat = [n for row in lengths for n in row]
    mask = torch.arange(8) < torch.tensor(lengths)[..., None]
    expected = fk.fourier_mix(x, lengths=flat)
    for given_ in (tuple(flat), torch.tensor(lengths), torch.tensor(lengths).int(), mask):
        assert torch.equal(fk.fourier_mix(x, lengths=given_), expected)
    assert torch.equal(expected[1, 2, :7], fk.fourier_mix(x[1, 2, :7]))
    one = x[0, 0]
    for given_ in ([3], torch.tensor(3), mask[0, 0]):
        assert torch.equal(fk.fourier_mix(one, lengths=given_)[:3], fk.fourier_mix(one[:3]))


def test_offsets_may_be_ints_or_a_tensor() -> None:
    x, cu = torch.randn(9, 12), [0, 3, 3, 9]
    expected = fk.fourier_mix_varlen(x, cu)
    assert expected.any()
    for given_ in (tuple(cu), torch.tensor(cu), torch.tensor(cu, dtype=torch.int32)):
        assert torch.equal(fk.fourier_mix_varlen(x, given_), expected)


@pytest.mark.parametrize("shape", [(0, 12), (5, 0)], ids=str)
def test_empty_rows_have_empty_results(shape: tuple[int, int]) -> None:
    x = torch.empty(shape, requires_grad=True)
    weight = torch.ones(shape[1], requires_grad=True)
    y = fk.fused_fourier_mix_varlen(x, [0, shape[0]], weight)
    assert y.shape == fk.fourier_mix_varlen(x, [0, 0, shape[0]]).shape == shape
    y.sum().backward()
    assert x.grad is not None
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.zeros(shape[1]))


def test_a_jagged_nested_tensor() -> None:
    parts = [torch.randn(3, 12), torch.randn(5, 12), torch.randn(1, 12)]
    weight = torch.randn(12)
    for mix in (fk.fourier_mix, lambda t: fk.fused_fourier_mix(t, weight), fk.FourierMix()):
        rows = torch.cat(parts).requires_grad_()
        nested = torch.nested.nested_tensor_from_jagged(rows, torch.tensor([0, 3, 8, 9]))
        y = mix(nested)
        assert torch.equal(y.values(), torch.cat([mix(part) for part in parts]))
        total = (y + nested).values()  # of the same ragged size
        (dx,) = torch.autograd.grad(total.square().sum(), rows)
        assert dx.any()


@pytest.mark.parametrize("known", [{}, {"min_seqlen": 1, "max_seqlen": 5}], ids=["", "known"])
def test_a_jagged_nested_tensor_pads_as_its_input(known: dict[str, int]) -> None:
    rows, offsets = torch.randn(9, 12), torch.tensor([0, 3, 8, 9])
    if known:
        nested = torch.nested.nested_tensor_from_jagged(rows, offsets, **known)
    else:
        nested = torch.nested.nested_tensor(list(rows.split([3, 5, 1])), layout=torch.jagged)
    for mix in (fk.fourier_mix, fk.fused_fourier_mix, fk.FNetEncoder(1, 12, 24).eval()):
        for call in (mix, torch.compile(mix, backend="eager", fullgraph=True)):
            y = call(nested)
            assert y.to_padded_tensor(0.0).shape == (3, 5, 12)
            assert torch.equal(y.to_padded_tensor(0.0)[1], y.values()[3:8])


def test_a_jagged_nested_tensor_is_rounded_up() -> None:
    rows, offsets = torch.randn(9, 12), torch.tensor([0, 3, 8, 9])
    nested = torch.nested.nested_tensor_from_jagged(rows, offsets)
    for mix, varlen in (
        (fk.fourier_mix, fk.fourier_mix_varlen),
        (fk.fused_fourier_mix, fk.fused_fourier_mix_varlen),
    ):
        y = mix(nested, round_to=4).values()
        assert torch.equal(y, varlen(rows, offsets, round_to=4))
        assert not torch.equal(y, varlen(rows, offsets))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_as_on_cuda(dtype: torch.dtype) -> None:
    """By runs of sequences of one length: the same but for the last bits."""
    for hidden, lengths in ((96, [7, 7, 7, 0, 130, 64, 33, 64, 64]), (768, [200, 197, 16])):
        x, grad = torch.randn(sum(lengths), hidden).to(dtype), torch.randn(sum(lengths), hidden)
        seq = max(lengths) + 1
        for round_to in (None, 16):
            found = []
            for path in ("auto", "runs"):
                torch.ops.fnet_kernels.set_cpu_path(path)
                try:
                    torch.manual_seed(1)
                    affine = [v.requires_grad_() for v in vectors(hidden, dtype)]
                    for y, rows, dy in (
                        (
                            partial(fk.fused_fourier_mix_varlen, cu_seqlens=offsets(lengths)),
                            x.clone().requires_grad_(),
                            grad.to(dtype),
                        ),
                        (
                            partial(fk.fused_fourier_mix, lengths=lengths),
                            padded(x, lengths, seq, torch.nan).requires_grad_(),
                            padded(grad.to(dtype), lengths, seq, torch.nan),
                        ),
                    ):
                        out = y(rows, weight=affine[0], bias=affine[1], round_to=round_to)
                        found += [out, *torch.autograd.grad(out, [rows, *affine], dy)]
                finally:
                    torch.ops.fnet_kernels.set_cpu_path("auto")
            half = len(found) // 2
            for ours, runs in zip(found[:half], found[half:], strict=True):
                difference = (ours.double() - runs.double()).abs().max()
                assert difference <= 8 * torch.finfo(dtype).eps * ours.double().abs().max()
                assert ours.any()
