"""Errors name the argument, the expected value and the actual value."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import fnet_kernels as fk
from python_tests.helpers.refused import assert_refused

OPS = torch.ops.fnet_kernels
X, BATCH, W = torch.ones(5, 4), torch.ones(2, 3, 4), torch.ones(4)
CU = [0, 2, 5]
NESTED = torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], layout=torch.jagged)
GAP = torch.tensor([[True, False, True], [True, True, True]])
ERRORS: list[tuple[Any, type[Exception], list[str]]] = [
    (
        lambda: fk.fourier_mix_varlen(X, [1, 5]),
        ValueError,
        ["fourier_mix_varlen: cu_seqlens", "start at 0", "got 1"],
    ),
    (lambda: fk.fourier_mix_varlen(X, []), ValueError, ["cu_seqlens", "got no offsets"]),
    (
        lambda: fk.fused_fourier_mix_varlen(X, [0, 4, 3, 5]),
        ValueError,
        ["fused_fourier_mix_varlen: cu_seqlens", "not decrease", "got 4 and then 3", "index 2"],
    ),
    (
        lambda: fk.fourier_mix_varlen(X, torch.tensor([0, 4])),
        ValueError,
        ["cu_seqlens", "end at the number of rows of x, 5", "got 4"],
    ),
    (
        lambda: fk.fourier_mix_varlen(X, torch.tensor([CU])),
        ValueError,
        ["cu_seqlens", "[batch + 1]", "got shape (1, 3)"],
    ),
    (
        lambda: fk.fourier_mix_varlen(X, torch.tensor([0.0, 5.0])),
        TypeError,
        ["cu_seqlens", "torch.int32 or torch.int64", "got torch.float32"],
    ),
    (lambda: fk.fourier_mix_varlen(X, 5), TypeError, ["cu_seqlens", "list of ints", "got int"]),
    (lambda: fk.fourier_mix_varlen(X, "05"), TypeError, ["cu_seqlens", "got str"]),
    (lambda: fk.fourier_mix_varlen(X, [0, 5.0]), TypeError, ["cu_seqlens", "got a float"]),
    (lambda: fk.fourier_mix_varlen(X, [False, 5]), TypeError, ["cu_seqlens", "got a bool"]),
    (
        lambda: fk.fourier_mix_varlen(BATCH, [0, 6]),
        ValueError,
        ["x", "two axes, [total, hidden]", "got shape (2, 3, 4)"],
    ),
    (lambda: fk.fourier_mix_varlen([1.0], CU), TypeError, ["x", "torch.Tensor", "got list"]),
    (lambda: fk.fourier_mix_varlen(X.int(), CU), TypeError, ["x", "got torch.int32"]),
    (lambda: fk.fused_fourier_mix_varlen(X, CU, [1.0]), TypeError, ["weight", "got list"]),
    (lambda: fk.fused_fourier_mix_varlen(X, CU, W[:3]), ValueError, ["weight", "got shape (3,)"]),
    (lambda: fk.fused_fourier_mix_varlen(X, CU, eps=-1.0), ValueError, ["eps", "got -1.0"]),
    (lambda: fk.fourier_mix_varlen(X, CU, norm="l2"), ValueError, ["norm", "got 'l2'"]),
    (lambda: fk.fourier_mix_varlen(X, CU, scale=torch.inf), ValueError, ["scale", "got inf"]),
    (lambda: fk.fourier_mix_varlen(X, CU, round_to=0), ValueError, ["round_to", "got 0"]),
    (lambda: fk.fourier_mix_varlen(X, CU, round_to=2.0), TypeError, ["round_to", "got float"]),
    (lambda: fk.fourier_mix_varlen(X, CU, round_to=2**63), ValueError, ["round_to", "2^56", "got"]),
    (
        lambda: fk.fused_fourier_mix(BATCH, lengths=[2, 3], round_to=2**56),
        RuntimeError,
        ["round_to", f"got {2**56}"],
    ),
    (lambda: fk.fourier_mix(BATCH, round_to=8), ValueError, ["fourier_mix: round_to", "lengths"]),
    (lambda: fk.fused_fourier_mix(BATCH, round_to=8), ValueError, ["fused_fourier_mix: round_to"]),
    (lambda: fk.fourier_mix(BATCH, lengths=[3]), ValueError, ["lengths", "2 sequences", "got 1"]),
    (
        lambda: fk.fused_fourier_mix(BATCH, lengths=[3, 4]),
        ValueError,
        ["fused_fourier_mix: lengths", "between 0 and 3", "got 4 at index 1"],
    ),
    (lambda: fk.fourier_mix(BATCH, lengths=[-1, 3]), ValueError, ["lengths", "got -1 at index 0"]),
    (
        lambda: fk.fourier_mix(BATCH, lengths=torch.tensor([1, 2, 3])),
        ValueError,
        ["lengths", "shape (2,)", "got shape (3,)"],
    ),
    (
        lambda: fk.fourier_mix(BATCH, lengths=torch.ones(2)),
        TypeError,
        ["lengths", "torch.int32 or torch.int64", "torch.bool", "got torch.float32"],
    ),
    (
        lambda: fk.fourier_mix(BATCH, lengths=GAP[:, :2]),
        ValueError,
        ["lengths", "mask", "shape (2, 3)", "got shape (2, 2)"],
    ),
    (
        lambda: fk.fourier_mix(BATCH, lengths=GAP),
        ValueError,
        ["lengths", "padding on the right", "a True after a False in sequence 0"],
    ),
    (lambda: fk.fourier_mix(BATCH, lengths=None, round_to=4), ValueError, ["round_to", "lengths"]),
    (lambda: fk.fourier_mix(NESTED, lengths=[2, 3]), ValueError, ["lengths", "nested tensor"]),
    (lambda: fk.fourier_mix(NESTED, norm="l2"), ValueError, ["fourier_mix: norm", "got 'l2'"]),
    (lambda: fk.fourier_mix(NESTED.long()), TypeError, ["fourier_mix: x", "got torch.int64"]),
    (
        lambda: fk.fused_fourier_mix(NESTED, torch.ones(3)),
        ValueError,
        ["fused_fourier_mix: weight", "(4,)", "got shape (3,)"],
    ),
    (
        lambda: fk.fourier_mix(BATCH, lengths=torch.ones(2, 3, dtype=torch.int64)),
        ValueError,
        ["lengths must be a tensor of lengths of shape (2,)", "mask.bool()"],
    ),
    (
        lambda: fk.fused_fourier_mix(BATCH, norm_type="RMS", lengths=[1, 2]),  # type: ignore[arg-type]
        ValueError,
        ["fused_fourier_mix: norm_type must be", "got 'RMS'"],
    ),
    (
        lambda: fk.fused_fourier_mix(BATCH, norm_first=1, lengths=[1, 2]),  # type: ignore[arg-type]
        TypeError,
        ["fused_fourier_mix: norm_first must be", "got 1"],
    ),
    (
        lambda: fk.fourier_mix(NESTED.transpose(1, 2)),
        ValueError,
        ["x", "seq the ragged axis", "nested tensor", "got shape"],
    ),
    (
        lambda: fk.fourier_mix(BATCH, residual=BATCH, lengths=[1, 2]),
        ValueError,
        ["fourier_mix: lengths", "None with a residual"],
    ),
    (
        lambda: fk.fused_fourier_mix(BATCH, norm_first=True, lengths=[1, 2]),
        ValueError,
        ["fused_fourier_mix: lengths", "None with norm_first"],
    ),
    (lambda: OPS.fourier_mix_varlen(X, [2, 2]), RuntimeError, ["rows of x, 5", "got 4"]),
    (lambda: OPS.fourier_mix_varlen(X, [7]), RuntimeError, ["between 0 and 5", "got 7"]),
    (lambda: OPS.fourier_mix_varlen(X, [-1, 6]), RuntimeError, ["at index 0", "got -1"]),
    (lambda: OPS.fourier_mix_varlen(BATCH, [3]), RuntimeError, ["each of 2 sequences", "got 1"]),
    (lambda: OPS.fourier_mix_varlen(X, [5], 0), RuntimeError, ["round_to", "got 0"]),
    (lambda: OPS.fourier_mix_varlen(X, [5], 2**62), RuntimeError, ["round_to", f"got {2**62}"]),
    (lambda: OPS.fourier_mix_varlen(X, [5], 1, "l2"), RuntimeError, ["norm", "got l2"]),
]


@pytest.mark.parametrize(("call", "error", "words"), ERRORS)
def test_errors(call: Any, error: type[Exception], words: list[str]) -> None:
    assert_refused(call, error, words)
