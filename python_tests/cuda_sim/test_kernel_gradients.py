"""The CUDA backward kernels in the simulator: LayerNorm's gradient and dx = du + scale M(du)."""

from __future__ import annotations

import numpy as np
import pytest
from arrays import EPS, Array, assert_gradients, compute_type, fetch, load, store
from problems import (
    DTYPES,
    FEW,
    HIDDEN,
    MODULE,
    ONE_BY_ONE,
    SEQ,
    Backward,
    Problem,
    errors,
    numbers,
)

from python_tests.helpers.definition import mix, norm_gradient, normalised

# The LayerNorm gradient.


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize(
    ("rows", "hidden"),
    [
        # Rows in registers: of one warp, with 1 to 4 vectors a thread, and of 2 to 8 warps.
        *((1, 64), (37, 64), (130, 768), (70, 384), (9, 1536), (33, 4096), (5, 3072)),
        # Rows of any length: not in whole vectors, or too long.
        *((1, 4), (33, 7), (5, 1001), (3, 8192)),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_norm_gradient(rows: int, hidden: int, dtype: str, whole: bool) -> None:
    grad = store(numbers(rows, hidden), dtype)
    xhat = store(normalised(numbers(rows, hidden, seed=1), EPS)[0], dtype)
    weight = store(1 + 0.1 * numbers(hidden), dtype)
    rstd = np.exp(numbers(rows)).astype(compute_type(dtype))
    output = MODULE.norm_grad(
        grad, xhat, dtype, weight if whole else None, rstd if whole else None, True, rows
    )
    assert errors(output) == []

    def formula(precision: type) -> tuple[Array, Array, Array]:
        dy, x, w = (load(a, dtype).astype(precision) for a in (grad, xhat, weight))
        factor = rstd.astype(precision) if whole else np.ones(rows, precision)
        du = norm_gradient(dy * w if whole else dy, x, factor)
        return du, (dy * x).sum(0), dy.sum(0)

    assert_gradients(output, formula, dtype, (rows, hidden))


def test_norm_gradient_without_sums_and_in_any_order() -> None:
    grad, xhat = (numbers(70, 96, seed=s).astype(np.float32) for s in range(2))
    first = MODULE.norm_grad(grad, xhat, "float32", None, None, True, 0)
    second = MODULE.norm_grad(grad, xhat, "float32", None, None, True, 1)
    for name in ("du", "dweight", "dbias"):
        np.testing.assert_array_equal(first[name], second[name])
    alone = MODULE.norm_grad(grad, xhat, "float32", None, None, False, 0)
    np.testing.assert_array_equal(alone["du"], first["du"])
    assert len(alone["launches"]) == 1


# The backward.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seq", SEQ)
def test_backward_for_every_sequence_length(seq: int, dtype: str) -> None:
    problem = Backward(3 if seq <= 512 else 1, seq, 64, dtype)
    problem.check(problem.run(seed=seq))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_backward_for_every_hidden_size(hidden: int, dtype: str) -> None:
    problem = Backward(3 if hidden <= 768 else 1, 16, hidden, dtype)
    problem.check(problem.run(seed=hidden))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", HIDDEN[: 1 if FEW else 3])
def test_backward_in_slices_and_any_order(hidden: int, dtype: str) -> None:
    problem = Backward(5, SEQ[0], hidden, dtype)
    whole = problem.run()
    problem.check(whole)
    kernels = [launch["kernel"] for launch in whole["launches"]]
    scaled = ["scale_statistics"] if dtype == "float16" else []
    assert kernels == ["norm_grad", *scaled, "seq_fft", "row_fft", "add_chunks"]
    for seed in (7, 8):
        again = problem.run(seed=seed)
        for name in ("dx", "dweight", "dbias"):
            np.testing.assert_array_equal(again[name], whole[name])
    alone = problem.run(sums=False)
    assert len(alone["launches"]) == 3 + len(scaled)
    assert errors(alone) == []
    np.testing.assert_array_equal(alone["dx"], whole["dx"])
    sliced = problem.run(device=ONE_BY_ONE)
    problem.check(sliced)
    assert len(sliced["launches"]) == 16 + 5 * len(scaled)
    np.testing.assert_array_equal(sliced["dx"], whole["dx"])


def test_the_workspace_has_a_spectrum_and_the_sums_of_chunks() -> None:
    spectrum, sums = 16 * 20 * 8, 2 * 64 * 4  # of a sequence, of a chunk
    for batch, chunks in ((1, 1), (2, 1), (3, 2), (225, 113)):  # of 32 rows
        problem = Backward(batch, 16, 64, "bfloat16")
        output = problem.run()
        problem.check(output)
        assert output["workspace"] == batch * spectrum + chunks * sums
        assert problem.run(sums=False)["workspace"] == batch * spectrum


def test_smaller_slices_may_have_more_chunks() -> None:
    """8208 rows have 249 chunks of 33 rows, 8192 rows 256 of 32."""
    problem = Backward(1025, 16, 64, "bfloat16")
    of_a_sequence = 16 * 20 * 8 + 2 * 16 * 64 * 2  # the spectrum, x and y
    l2_bytes = 2 * 513 * of_a_sequence
    output = problem.run(device=(1, 227 << 10, l2_bytes))
    blocks = [one["grid"][0] for one in output["launches"] if one["kernel"] == "norm_grad"]
    assert blocks == [249, 256]
    assert output["workspace"] == 513 * 16 * 20 * 8 + (249 + 256) * 2 * 64 * 4
    assert errors(output) == []
    problem.check(output)


def test_backward_without_weight() -> None:
    problem = Backward(2, 16, 64, "float32")
    problem.weight = np.ones(64, np.float32)
    with_ones = problem.run()
    problem.check(with_ones)
    without = problem.run(weight=None)
    np.testing.assert_array_equal(without["dx"], with_ones["dx"])


@pytest.mark.skipif(FEW, reason="build without float16")
def test_float16_mixes_a_du_below_its_range() -> None:
    """Rows of large deviation have a du below the range of float16; its mixing is within range."""
    problem = Backward(2, 16, 1024, "float16")
    problem.grad = store(load(problem.grad, "float16") * 1e-3, "float16")
    problem.rstd *= np.float32(2e-5)
    exact = problem.exact()
    assert np.median(np.abs(exact["du"])) < 2.0**-25 < 1e-6 < np.median(np.abs(exact["dx"]))
    problem.check(problem.run())


@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_of_a_forward(dtype: str) -> None:
    problem = Problem(2, SEQ[1], 64, dtype)
    train = problem.run(train=True)
    second = Backward(*problem.shape, dtype)
    second.scale, second.weight = 1.0, problem.weight
    second.normalized = train["normalized"].view(second.grad.dtype).reshape(problem.shape)
    second.rstd = train["rstd"].view(np.float32).reshape(problem.shape[:2])
    output = second.run()
    second.check(output)

    # The exact gradient from x itself, not from the saved rows, which are rounded.
    x, w, dy = (load(a, dtype) for a in (problem.stored, problem.weight, second.grad))
    du = norm_gradient(dy * w, *normalised(x + mix(x), EPS))
    exact = du + mix(du)
    unit = {"float32": 2.0**-24, "bfloat16": 2.0**-9, "float16": 2.0**-12}[dtype]
    dx = fetch(output["dx"], dtype, problem.shape)
    assert np.abs(dx - exact).max() <= 4 * unit * np.abs(exact).max()
