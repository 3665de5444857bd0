"""The blocks beside FNet's own in the simulator: RMSNorm, pre-norm, a residual that is not x."""

from __future__ import annotations

import numpy as np
import pytest
from arrays import EPS, Array, assert_accurate, assert_gradients, compute_type, fetch, load, store
from problems import (
    DTYPES,
    FEW,
    FOURIER,
    HARTLEY,
    HIDDEN,
    MODULE,
    NORM,
    OK,
    ONE_BY_ONE,
    RESIDUAL,
    SEQ,
    SMALL,
    Backward,
    Block,
    General,
    PrenormBackward,
    errors,
    numbers,
)

from python_tests.helpers.definition import mix, norm_gradient, normalised

BLOCKS = {
    "residual": {"residual": True},
    "rms": {"rms": True},
    "prenorm": {"norm_first": True},
    "prenorm rms": {"norm_first": True, "rms": True},
}
blocks = pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)


@pytest.mark.parametrize("dtype", DTYPES)
@blocks
def test_agrees_with_the_definition(block: dict[str, bool], dtype: str) -> None:
    for batch, seq, hidden in ((3, SEQ[0], HIDDEN[0]), (1, SEQ[1], 768)):
        problem = Block(batch, seq, hidden, dtype, **block)
        problem.check(problem.run(seed=seq))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seq", SEQ)
def test_prenorm_for_every_sequence_length(seq: int, dtype: str) -> None:
    """A kernel of its own reads rows that it normalises."""
    problem = Block(2 if seq <= 512 else 1, seq, 64, dtype, norm_first=True)
    problem.check(problem.run(seed=seq))


@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_hidden_size(hidden: int) -> None:
    """Rows of one to several warps, in row_statistics and in the sums of row_fft."""
    dtype = DTYPES[HIDDEN.index(hidden) % len(DTYPES)]
    for block in ({"norm_first": True}, {"rms": True}):
        problem = Block(2, 16, hidden, dtype, **block)
        problem.check(problem.run(seed=hidden))


@pytest.mark.skipif(FEW, reason="build with few lengths")
@pytest.mark.parametrize("seq", [2048, 4096, 8192])
def test_prenorm_on_a_device_with_99_kb(seq: int) -> None:
    for dtype in ("float32", "float16"):
        problem = Block(1, seq, 64, dtype, norm_first=True)
        problem.check(problem.run(device=SMALL))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rms", [False, True])
def test_prenorm_writes_the_statistics_of_rows(rms: bool, dtype: str) -> None:
    problem = Block(3, 16, HIDDEN[-1], dtype, norm_first=True, rms=rms)
    output = problem.run()
    problem.check(output)
    kernels = [launch["kernel"] for launch in output["launches"]]
    assert kernels == ["row_statistics", "seq_fft", "row_fft"]
    x = load(problem.stored, dtype)
    mean = np.zeros(problem.shape[:2]) if rms else x.mean(-1)
    rstd = normalised(x, EPS, rms)[1]
    for name, exact in (("mean", mean), ("rstd", rstd)):
        found = fetch(output[name], "float32", exact.shape)
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-6)


@blocks
def test_bits_do_not_depend_on_strides_slices_and_seeds(block: dict[str, bool]) -> None:
    problem = Block(5, SEQ[0], HIDDEN[0], "bfloat16", **block)
    whole = problem.run()
    problem.check(whole)
    wider = HIDDEN[0] + 8
    for options in (
        {"pitch": wider},
        {"residual_pitch": wider},
        {"device": ONE_BY_ONE},
        {"device": SMALL},
        {"seed": 7},
        {"in_place": True},
    ):
        output = problem.run(**options)
        assert errors(output) == [], options
        np.testing.assert_array_equal(output["y"], whole["y"], err_msg=str(options))
    launches = len(problem.run(device=ONE_BY_ONE)["launches"])
    assert launches == 5 * (3 if problem.norm_first else 2)


def test_rms_training_keeps_the_normalised_rows() -> None:
    problem = Block(2, 16, 64, "float32", rms=True)
    output = problem.run(train=True)
    problem.check(output)
    x = load(problem.stored, "float32")
    rows, rstd = normalised(x + problem.scale * mix(x), EPS, rms=True)
    found = fetch(output["normalized"], "float32", problem.shape)
    assert np.abs(found - rows).max() <= 1e-5 * np.abs(rows).max()
    np.testing.assert_allclose(fetch(output["rstd"], "float32", rstd.shape), rstd, rtol=1e-5)


def test_prenorm_without_parameters() -> None:
    problem = Block(2, 16, 64, "float32", norm_first=True)
    problem.weight, problem.bias = np.ones(64, np.float32), np.zeros(64, np.float32)
    with_ones = problem.run()
    problem.check(with_ones)
    for given in ({"weight": None}, {"bias": None}, {"weight": None, "bias": None}):
        np.testing.assert_array_equal(problem.run(**given)["y"], with_ones["y"])


def test_the_blocks_differ() -> None:
    for name, block in BLOCKS.items():
        output = Block(2, 16, 64, "float32", **block).run()
        for other, wrong in BLOCKS.items():
            problem = Block(2, 16, 64, "float32", **wrong)
            problem.residual = problem.residual if name == other else None
            if name == other:
                problem.check(output)
            else:
                with pytest.raises(AssertionError, match="error"):
                    problem.check(output)


@pytest.mark.skipif(FEW, reason="build with few lengths")
@pytest.mark.parametrize(("dtype", "size"), [("bfloat16", 2), ("float32", 4)])
def test_the_traffic_of_prenorm(dtype: str, size: int) -> None:
    """One more read of x than post-norm, and the statistics: two numbers for each column tile."""
    output = Block(1, 512, 768, dtype, norm_first=True).run()
    elements = 512 * 768
    traffic = {
        launch["kernel"]: sum(
            access["bytes"]
            for access in launch["accesses"]
            if access["buffer"] not in ("shared", "table", "weight", "bias")
        )
        / elements
        for launch in output["launches"]
    }
    assert traffic["row_statistics"] <= 1.02 * size
    assert traffic["seq_fft"] <= 1.05 * (size + 2) + 2 * 4 / 8
    assert traffic["row_fft"] <= 1.05 * (2 + 2 * size)
    (read,) = (access for access in output["launches"][0]["accesses"] if access["buffer"] == "x")
    assert read["transactions"] == read["ideal"]


# Backward


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rms", [False, True])
def test_backward_of_prenorm(rms: bool, dtype: str) -> None:
    if dtype == "float16":  # the binding widens it, because M(grad) may exceed its range
        return
    for batch, seq, hidden in ((3, SEQ[0], HIDDEN[0]), (1, SEQ[1], 768), (1, 16, HIDDEN[-1])):
        problem = PrenormBackward(batch, seq, hidden, dtype, rms)
        problem.check(problem.run(seed=seq))


@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_of_rms_norm(dtype: str) -> None:
    for batch, seq, hidden in ((3, SEQ[0], HIDDEN[0]), (1, SEQ[1], 768)):
        problem = Backward(batch, seq, hidden, dtype, rms=True)
        problem.check(problem.run(seed=seq))
        with pytest.raises(AssertionError, match="error"):
            problem.check(problem.run(rms=False))


def test_backward_of_prenorm_in_slices_and_any_order() -> None:
    problem = PrenormBackward(5, SEQ[0], HIDDEN[0], "bfloat16")
    whole = problem.run()
    problem.check(whole)
    kernels = [launch["kernel"] for launch in whole["launches"]]
    assert kernels == ["seq_fft", "row_fft", "norm_grad", "add_chunks"]
    again = problem.run(seed=7)
    for name in ("dx", "dweight", "dbias"):
        np.testing.assert_array_equal(again[name], whole[name])
    alone = problem.run(sums=False)
    assert len(alone["launches"]) == 3
    np.testing.assert_array_equal(alone["dx"], whole["dx"])
    sliced = problem.run(device=ONE_BY_ONE)
    problem.check(sliced)
    assert len(sliced["launches"]) == 16
    np.testing.assert_array_equal(sliced["dx"], whole["dx"])


def test_backward_of_a_prenorm_forward() -> None:
    problem = Block(2, SEQ[1], 64, "float32", norm_first=True)
    forward = problem.run()
    second = PrenormBackward(*problem.shape, "float32")
    second.scale, second.weight, second.normalized = problem.scale, problem.weight, problem.stored
    second.mean, second.rstd = (
        forward[name].view(np.float32).reshape(problem.shape[:2]) for name in ("mean", "rstd")
    )
    output = second.run()
    second.check(output)
    x, w, dy = (load(a, "float32") for a in (problem.stored, problem.weight, second.grad))
    t = problem.scale * mix(dy)
    exact = dy + norm_gradient(t * w, *normalised(x, EPS))
    dx = fetch(output["dx"], "float32", problem.shape)
    assert np.abs(dx - exact).max() <= 1e-6 * np.abs(exact).max()


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize("rms", [False, True])
@pytest.mark.parametrize(
    ("rows", "hidden"), [(37, 64), (70, 384), (33, 768), (9, 1536), (5, 4096), (33, 7), (3, 8192)]
)
def test_norm_gradient_of_rows_that_are_not_normalised(
    rows: int, hidden: int, rms: bool, dtype: str
) -> None:
    """In place, from x and its statistics, plus the gradient that bypasses the norm."""
    grad, x, residual = (store(0.5 + numbers(rows, hidden, seed=s), dtype) for s in range(3))
    weight = store(1 + 0.1 * numbers(hidden), dtype)
    wide = load(x, dtype)
    mean = np.zeros(rows) if rms else wide.mean(-1)
    statistics = [a.astype(compute_type(dtype)) for a in (mean, normalised(wide, EPS, rms)[1])]
    output = MODULE.norm_grad(
        grad, x, dtype, weight, statistics[1], True, rows, rms, statistics[0], residual
    )
    assert errors(output) == []

    def formula(precision: type) -> tuple[Array, Array, Array]:
        dy, u, w, r = (load(a, dtype).astype(precision) for a in (grad, x, weight, residual))
        shift, rstd = (a.astype(precision) for a in statistics)
        xhat = (u - shift[:, None]) * rstd[:, None]
        return r + norm_gradient(dy * w, xhat, rstd, rms), (dy * xhat).sum(0), dy.sum(0)

    assert_gradients(output, formula, dtype, (rows, hidden))


# The general path's halves.


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize("transform", [FOURIER, HARTLEY])
def test_general_path(transform: int, dtype: str) -> None:
    for seq, hidden in ((7, 13), (10, 300)):
        problem = General(3, seq, hidden, dtype, NORM, transform)
        output = problem.run(rms=True)
        assert (output["status"], errors(output)) == (OK, [])
        parts = (load(a, dtype) for a in (problem.weight, problem.bias))
        weight, bias = parts
        u = problem.x + problem.scale * problem.transformed()
        exact = normalised(u, EPS, rms=True)[0] * weight + bias
        y = fetch(output["y"], dtype, problem.shape)
        assert_accurate(y, exact, exact.astype(np.float32).astype(np.float64), dtype)

        problem = General(3, seq, hidden, dtype, RESIDUAL, transform)
        residual = store(numbers(3, seq, hidden + 5, seed=3), dtype)
        output = problem.run(residual=residual)
        assert (output["status"], errors(output)) == (OK, [])
        exact = load(residual[..., :hidden], dtype) + problem.scale * problem.transformed()
        y = fetch(output["y"], dtype, problem.shape)
        assert_accurate(y, exact, exact.astype(np.float32).astype(np.float64), dtype)


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize("rms", [False, True])
def test_the_general_path_normalises_rows(rms: bool, dtype: str) -> None:
    for hidden in (13, 300):
        x = store(0.5 + numbers(3, 7, hidden + 3), dtype)
        weight, bias = (
            store(1 + 0.1 * numbers(hidden), dtype),
            store(numbers(hidden, seed=1), dtype),
        )
        wide = MODULE.widen_rows(x, hidden, dtype, None, 0, True, rms, EPS, weight, bias)
        assert errors(wide) == []
        rows = load(x, dtype)[..., :hidden]
        normal, rstd = normalised(rows, EPS, rms)
        exact = normal * load(weight, dtype) + load(bias, dtype)
        found = wide["wide"].view(compute_type(dtype)).reshape(exact.shape)
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)
        found_rstd = wide["rstd"].view(compute_type(dtype)).reshape(rstd.shape)
        np.testing.assert_allclose(found_rstd, rstd, rtol=1e-5)
