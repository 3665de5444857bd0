"""The CUDA kernels themselves, run by host_cuda: right, race-free, and the same in any order."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from arrays import (
    EPS,
    Array,
    assert_within_bar,
    compute_type,
    epilogue,
    fetch,
    load,
    mixed,
    normalised,
    store,
)
from host_cuda_build import host_cuda_module, mutant

Output = dict[str, Any]
MIX, RESIDUAL, NORM = 0, 1, 2
OK, UNSUPPORTED_LENGTH, UNSUPPORTED_DTYPE, MISALIGNED = 0, 1, 2, 3
DTYPES = ("float32", "bfloat16", "float16")
L2 = 50 << 20
MODULE = host_cuda_module("fnet_cuda_test")
SEQ, HIDDEN = MODULE.seq_lengths(), MODULE.hidden_lengths()


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


class Problem:
    """x [batch, seq, hidden] with affine parameters, as stored in `dtype`."""

    def __init__(self, batch: int, seq: int, hidden: int, dtype: str, kind: int = NORM) -> None:
        self.shape, self.dtype, self.kind = (batch, seq, hidden), dtype, kind
        self.scale = 0.75 if kind == MIX else 1.0
        self.stored = store(numbers(batch, seq, hidden), dtype)
        self.weight = store(1 + 0.1 * numbers(hidden), dtype)
        self.bias = store(numbers(hidden, seed=1), dtype)

    def run(self, module: ModuleType = MODULE, **options: Any) -> Output:
        """The kernels' output; options as in the driver, x's row pitch and row_scale too."""
        norm = self.kind == NORM
        pitch = options.pop("pitch", self.shape[-1])
        padded = np.zeros((*self.shape[:2], pitch), self.stored.dtype)
        padded[..., : self.shape[-1]] = self.stored
        settings = {"row_scale": None, "train": False, "in_place": False, "l2_bytes": L2, "seed": 0}
        return module.mix(
            padded,
            self.shape[-1],
            self.dtype,
            self.kind,
            self.scale,
            EPS,
            self.weight if norm else None,
            self.bias if norm else None,
            **settings | options,
        )

    def exact(self, precision: type = np.float64) -> Array:
        parts = (load(a, self.dtype).astype(precision) for a in (self.weight, self.bias))
        return epilogue(
            self.kind, load(self.stored, self.dtype).astype(precision), self.scale, *parts
        )

    def check(self, output: Output) -> None:
        assert output["status"] == OK
        assert errors(output) == []
        y = fetch(output["y"], self.dtype, self.shape)
        assert_within_bar(y, self.exact(), self.exact(np.float32), self.dtype)


def errors(output: Output) -> list[Any]:
    return [error for launch in output["launches"] for error in launch["errors"]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [MIX, RESIDUAL, NORM])
@pytest.mark.parametrize("seq", SEQ)
def test_every_sequence_length(seq: int, kind: int, dtype: str) -> None:
    problem = Problem(3 if seq <= 512 else 1, seq, 64, dtype, kind)
    problem.check(problem.run(seed=seq))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [MIX, RESIDUAL, NORM])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_every_hidden_size(hidden: int, kind: int, dtype: str) -> None:
    problem = Problem(3 if hidden <= 768 else 1, 16, hidden, dtype, kind)
    problem.check(problem.run(seed=hidden))


@pytest.mark.parametrize("dtype", DTYPES)
def test_training_keeps_the_normalised_rows_and_rstd(dtype: str) -> None:
    problem = Problem(3, SEQ[0], HIDDEN[-1], dtype)
    output = problem.run(train=True)
    problem.check(output)
    x = load(problem.stored, dtype)
    rows, rstd = normalised(x + mixed(x))
    kept = fetch(output["normalized"], dtype, problem.shape)
    narrow = x.astype(np.float32)
    assert_within_bar(kept, rows, normalised(narrow + mixed(narrow))[0], dtype)
    np.testing.assert_allclose(fetch(output["rstd"], "float32", problem.shape[:2]), rstd, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", HIDDEN[:3])
def test_strides_slices_seeds_and_places_change_no_bit(hidden: int, dtype: str) -> None:
    problem = Problem(5, SEQ[0], hidden, dtype, RESIDUAL)
    whole = problem.run()
    problem.check(whole)
    for options in (
        {"pitch": hidden + 8},
        {"l2_bytes": 0},  # one sequence at a time
        {"l2_bytes": 3 << 20},
        {"seed": 7},
        {"seed": 8},
        {"in_place": True},
    ):
        output = problem.run(**options)
        assert errors(output) == [], options
        np.testing.assert_array_equal(output["y"], whole["y"], err_msg=str(options))
    assert len(problem.run(l2_bytes=0)["launches"]) == 10, "two kernels for each of 5 slices"


def test_no_affine_parameters() -> None:
    problem = Problem(2, 16, 64, "float32")
    problem.weight, problem.bias = np.ones(64, np.float32), np.zeros(64, np.float32)
    with_ones = problem.run()
    problem.check(with_ones)
    args = (problem.stored, 64, "float32", NORM, 1.0, EPS, None, None)
    without = MODULE.mix(*args, None, False, False, L2, 0)
    np.testing.assert_array_equal(without["y"], with_ones["y"])


@pytest.mark.parametrize(("seq", "hidden"), [(n, 64) for n in SEQ] + [(16, d) for d in HIDDEN])
def test_float16_rows_may_be_scaled(seq: int, hidden: int) -> None:
    """What the backward of float16 runs, at every length."""
    problem = Problem(1, seq, hidden, "float16", RESIDUAL)
    scale = np.exp(numbers(1, seq)).astype(np.float32)
    x = load(problem.stored, "float16") * scale[..., None]
    for seed in range(2):
        output = problem.run(row_scale=scale, seed=seed)
        assert errors(output) == []
        y = fetch(output["y"], "float16", problem.shape)
        assert_within_bar(y, x + mixed(x), None, "float16")


def test_other_rows_may_not_be_scaled() -> None:
    scale = np.ones((2, 16), np.float32)
    for dtype in ("bfloat16", "float32"):
        assert Problem(2, 16, 64, dtype).run(row_scale=scale)["status"] == UNSUPPORTED_DTYPE


def test_what_the_kernels_do_not_take() -> None:
    assert Problem(1, 17, 64, "float32").run()["status"] == UNSUPPORTED_LENGTH
    assert Problem(1, 16, 80, "float32").run()["status"] == UNSUPPORTED_LENGTH
    assert Problem(1, 16, 64, "float64").run()["status"] == UNSUPPORTED_DTYPE
    assert Problem(1, 16, 64, "float32").run(pitch=66)["status"] == MISALIGNED
    assert Problem(1, 16, 64, "bfloat16").run(pitch=68)["status"] == MISALIGNED


# The LayerNorm gradient.


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize(("rows", "hidden"), [(1, 4), (37, 64), (130, 768), (33, 7), (5, 1001)])
@pytest.mark.parametrize("whole", [False, True])
def test_norm_gradient(rows: int, hidden: int, dtype: str, whole: bool) -> None:
    grad = store(numbers(rows, hidden), dtype)
    xhat = store(normalised(numbers(rows, hidden, seed=1))[0], dtype)
    weight = store(1 + 0.1 * numbers(hidden), dtype)
    rstd = np.exp(numbers(rows)).astype(compute_type(dtype))
    output = MODULE.norm_grad(
        grad, xhat, dtype, weight if whole else None, rstd if whole else None, True, rows
    )
    assert errors(output) == []

    def formula(precision: type) -> tuple[Array, Array, Array]:
        dy, x, w = (load(a, dtype).astype(precision) for a in (grad, xhat, weight))
        g = dy * w if whole else dy
        du = g - g.mean(-1, keepdims=True) - x * (g * x).mean(-1, keepdims=True)
        return du * rstd[:, None].astype(precision) if whole else du, (dy * x).sum(0), dy.sum(0)

    results = [
        fetch(output["du"], dtype, (rows, hidden)),
        fetch(output["dweight"], dtype, (hidden,)),
        fetch(output["dbias"], dtype, (hidden,)),
    ]
    for result, exact, narrow in zip(
        results, formula(np.float64), formula(np.float32), strict=True
    ):
        # The means and the sums are of larger numbers than what is left: a floor from those.
        assert_within_bar(result, exact, narrow, dtype)


def test_norm_gradient_without_sums_and_in_any_order() -> None:
    grad, xhat = (numbers(70, 96, seed=s).astype(np.float32) for s in range(2))
    first = MODULE.norm_grad(grad, xhat, "float32", None, None, True, 0)
    second = MODULE.norm_grad(grad, xhat, "float32", None, None, True, 1)
    for name in ("du", "dweight", "dbias"):
        np.testing.assert_array_equal(first[name], second[name])
    alone = MODULE.norm_grad(grad, xhat, "float32", None, None, False, 0)
    np.testing.assert_array_equal(alone["du"], first["du"])
    assert len(alone["launches"]) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_as_the_op_composes_it(dtype: str) -> None:
    """dx = du + M(du) from grad, the normalised rows and rstd; M is its own adjoint."""
    problem = Problem(2, SEQ[1], 64, dtype)
    train = problem.run(train=True)
    shape = problem.shape
    grad = store(numbers(*shape, seed=3), dtype)
    rows, rstd = train["normalized"], train["rstd"].view(np.float32)
    scaled = dtype == "float16"
    du = MODULE.norm_grad(
        grad.reshape(-1, 64),
        np.asarray(rows).view(grad.dtype).reshape(-1, 64),
        dtype,
        problem.weight,
        None if scaled else rstd,
        True,
        0,
    )
    assert errors(du) == []
    second = Problem(*shape, dtype, RESIDUAL)
    second.stored = du["du"].view(grad.dtype).reshape(shape)
    dx = second.run(row_scale=rstd.reshape(shape[:2]) if scaled else None, in_place=True)
    assert errors(dx) == []

    x, w, dy = (load(a, dtype) for a in (problem.stored, problem.weight, grad))
    xhat, r = normalised(x + mixed(x))
    g = dy * w
    exact = r[..., None] * (
        g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True)
    )
    exact = exact + mixed(exact)
    result = fetch(dx["y"], dtype, shape)
    # The normalised rows and du are rounded to the dtype before the transform sums them.
    unit = {"float32": 2.0**-24, "bfloat16": 2.0**-9, "float16": 2.0**-12}[dtype]
    assert np.abs(result - exact).max() <= 8 * unit * np.abs(exact).max()
    dbias = dy.sum((0, 1))
    error = np.abs(fetch(du["dbias"], dtype, (64,)) - dbias).max()
    assert error <= 4 * unit * np.abs(dbias).max()


# The general path's halves.


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize("kind", [MIX, RESIDUAL, NORM])
@pytest.mark.parametrize(("seq", "hidden"), [(7, 13), (1, 5), (6, 1), (10, 300)])
def test_general_path(seq: int, hidden: int, kind: int, dtype: str) -> None:
    problem = Problem(3, seq, hidden, dtype, kind)
    pitch = hidden + 3
    padded = np.zeros((3, seq, pitch), problem.stored.dtype)
    padded[..., :hidden] = problem.stored
    row_scale = np.exp(numbers(3, seq)).astype(compute_type(dtype))
    wide = MODULE.widen_rows(padded, hidden, dtype, row_scale, 0)
    assert errors(wide) == []
    x = load(problem.stored, dtype) * row_scale[..., None]
    widened = wide["wide"].view(compute_type(dtype)).reshape(problem.shape)
    np.testing.assert_allclose(widened, x, rtol=1e-6)

    spectrum = np.ascontiguousarray(np.fft.rfft2(x))
    spectrum = spectrum.astype(np.complex128 if dtype == "float64" else np.complex64)
    output = MODULE.mix_from_spectrum(
        padded,
        hidden,
        dtype,
        kind,
        problem.scale,
        EPS,
        problem.weight,
        problem.bias,
        row_scale,
        kind == NORM,
        False,
        spectrum,
        1,
    )
    assert output["status"] == OK
    assert errors(output) == []
    weight, bias = load(problem.weight, dtype), load(problem.bias, dtype)
    exact = epilogue(kind, x, problem.scale, weight, bias)
    narrow = epilogue(kind, x.astype(np.float32), problem.scale, weight, bias)
    if kind == NORM and hidden == 1:
        np.testing.assert_array_equal(fetch(output["y"], dtype, problem.shape), exact)
    else:
        assert_within_bar(fetch(output["y"], dtype, problem.shape), exact, narrow, dtype)


# What the tests above are worth: faults that they must see.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutants")


def caught(problem: Problem, module: ModuleType) -> bool:
    try:
        problem.check(problem.run(module))
    except AssertionError:
        return True
    return False


def test_a_zeroed_or_perturbed_output_is_caught() -> None:
    problem = Problem(2, 16, 64, "float32")
    output = problem.run()
    problem.check(output)
    y = output["y"].view(np.float32)
    for wrong in (y * 0, np.roll(y, 1), y * np.float32(1.001)):
        with pytest.raises(AssertionError):
            problem.check({**output, "y": wrong.view(np.uint8)})


def test_a_removed_barrier_is_caught_in_both_kernels(folder: Path) -> None:
    missing = "    if constexpr (I > 0) {\n      sync();\n      take_all<I>(z);"
    module = mutant(
        folder / "barrier", [("cuda/line_fft.h", missing, missing.replace("sync();", ""))]
    )
    output = Problem(1, 384, 768, "float32").run(module)
    for launch in output["launches"]:
        kinds = {error["kind"] for error in launch["errors"]}
        assert kinds & {"race", "uninitialised"}, launch["kernel"]


def test_a_mirror_off_by_one_is_caught(folder: Path) -> None:
    edits = [
        ("cuda/seq_fft.h", "? 2 - args.hidden : 2;", "? 1 - args.hidden : 1;"),
        (
            "cuda/row_fft.h",
            "const int minus_k = mirror(k, args.seq);",
            "const int minus_k = mirror(k, args.seq) - (k > 0);",
        ),
    ]
    for number, edit in enumerate(edits):
        module = mutant(folder / f"mirror{number}", [edit])
        assert caught(Problem(1, 16, 64, "float32"), module), edit
        assert caught(Problem(1, 384, 768, "float32"), module), edit
