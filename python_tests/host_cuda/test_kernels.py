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
OK, UNSUPPORTED_LENGTH, UNSUPPORTED_DTYPE, MISALIGNED, IN_PLACE = 0, 1, 2, 3, 5
DTYPES = ("float32", "bfloat16", "float16")
#: Multiprocessors, shared memory of a block, second-level cache.
H100 = (132, 227 << 10, 50 << 20)
SMALL = (84, 99 << 10, 6 << 20)
ONE_BY_ONE = (0, 227 << 10, 0)  # no reason to take more than one sequence at a time
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
        settings = {"row_scale": None, "train": False, "in_place": False, "device": H100, "seed": 0}
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
def test_strides_slices_and_seeds_change_no_bit(hidden: int, dtype: str) -> None:
    problem = Problem(5, SEQ[0], hidden, dtype, RESIDUAL)
    whole = problem.run()
    problem.check(whole)
    for options in (
        {"pitch": hidden + 8},
        {"device": ONE_BY_ONE},
        {"device": (1, 227 << 10, 0)},
        {"device": SMALL},
        {"seed": 7},
        {"seed": 8},
    ):
        output = problem.run(**options)
        assert errors(output) == [], options
        np.testing.assert_array_equal(output["y"], whole["y"], err_msg=str(options))
    assert len(problem.run(device=ONE_BY_ONE)["launches"]) == 10, "two kernels for each of 5 slices"


def test_no_affine_parameters() -> None:
    problem = Problem(2, 16, 64, "float32")
    problem.weight, problem.bias = np.ones(64, np.float32), np.zeros(64, np.float32)
    with_ones = problem.run()
    problem.check(with_ones)
    args = (problem.stored, 64, "float32", NORM, 1.0, EPS, None, None)
    without = MODULE.mix(*args, None, False, False, H100, 0)
    np.testing.assert_array_equal(without["y"], with_ones["y"])


#: The sanitizers' build has a few lengths only.
needs_all_lengths = pytest.mark.skipif(2048 not in SEQ, reason="a build of a few lengths")


@needs_all_lengths
@pytest.mark.parametrize(
    ("batch", "seq", "hidden", "dtype", "device", "sizes"),
    [
        # A multiprocessor holds 8 blocks of seq_fft at 512 in bfloat16, and a sequence is 50.
        (32, 512, 768, "bfloat16", H100, [16, 16]),
        (32, 512, 768, "bfloat16", (132, 227 << 10, 200 << 20), [16, 16]),  # half of the memory
        (64, 512, 768, "bfloat16", H100, [22, 21, 21]),
        (12, 512, 768, "bfloat16", H100, [6, 6]),
        (4, 512, 768, "bfloat16", H100, [4]),  # a spectrum of 3 MB
        (1, 512, 768, "bfloat16", H100, [1]),
        (4, 4096, 768, "bfloat16", H100, [2, 2]),
        (8, 2048, 768, "bfloat16", H100, [4, 4]),
        (8, 2048, 768, "float32", H100, [4, 4]),
        (32, 2048, 768, "float32", H100, [6, 6, 5, 5, 5, 5]),
        (40, 512, 768, "bfloat16", SMALL, [8] * 5),
        (300, 128, 768, "float32", (1, 99 << 10, 0), [1] * 300),
        (100_000, 16, 64, "bfloat16", (132, 227 << 10, 1 << 40), [50_000] * 2),
        (7, 2048, 768, "float32", (0, 227 << 10, 0), [1] * 7),
        (4, 2048, 768, "float32", (132, 32 << 10, 50 << 20), []),  # no block fits
    ],
)
def test_slices_fill_the_device(
    batch: int, seq: int, hidden: int, dtype: str, device: tuple[int, int, int], sizes: list[int]
) -> None:
    assert MODULE.slices(batch, seq, hidden, dtype, device) == sizes


@pytest.mark.parametrize("seq", SEQ)
@pytest.mark.parametrize("batch", [1, 2, 3, 7, 12, 31, 32, 64, 100])
def test_slices_are_even_and_their_spectrum_small(batch: int, seq: int) -> None:
    for dtype in ("bfloat16", "float32"):
        for device in (H100, SMALL, (8, 99 << 10, 2 << 20)):
            sizes = MODULE.slices(batch, seq, 768, dtype, device)
            assert sum(sizes) == batch
            assert max(sizes) - min(sizes) <= 1
            spectrum = max(sizes) * seq * 196 * 8
            assert batch == 1 or spectrum <= max(8 << 20, batch * seq * 768 * 4 // 2)


@needs_all_lengths
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("seq", [2048, 2560, 3072, 4096, 8192])
def test_a_device_of_99_kb_gets_blocks_that_fit(seq: int, dtype: str) -> None:
    problem = Problem(1, seq, 64, dtype)
    problem.check(problem.run(device=SMALL))
    second = Backward(1, seq, 64, dtype)
    second.check(second.run(device=SMALL))


@needs_all_lengths
def test_a_device_without_the_shared_memory_is_told() -> None:
    tiny = (40, 32 << 10, 4 << 20)
    assert Problem(1, 2048, 64, "float32").run(device=tiny)["status"] == UNSUPPORTED_LENGTH
    assert Backward(1, 2048, 64, "float32").run(device=tiny)["status"] == UNSUPPORTED_LENGTH
    problem = Problem(1, 256, 64, "float32")
    problem.check(problem.run(device=tiny))
    assert MODULE.slices(1, 8192, 64, "bfloat16", H100) == [1]
    assert MODULE.slices(1, 8192, 64, "bfloat16", tiny) == []


def test_rows_may_not_be_scaled() -> None:
    scale = np.ones((2, 16), np.float32)
    for dtype in DTYPES:
        assert Problem(2, 16, 64, dtype).run(row_scale=scale)["status"] == UNSUPPORTED_DTYPE


def test_what_the_kernels_do_not_take() -> None:
    assert Problem(1, 17, 64, "float32").run()["status"] == UNSUPPORTED_LENGTH
    assert Problem(1, 16, 80, "float32").run()["status"] == UNSUPPORTED_LENGTH
    assert Problem(1, 16, 64, "float64").run()["status"] == UNSUPPORTED_DTYPE
    assert Problem(1, 16, 64, "float32").run(in_place=True)["status"] == IN_PLACE
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
        factor = rstd.astype(precision) if whole else np.ones(rows, precision)
        du = norm_gradient(dy * w if whole else dy, x, factor)
        return du, (dy * x).sum(0), dy.sum(0)

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


# The backward: dx = du + scale M(du), with du from LayerNorm's gradient.


def norm_gradient(g: Array, xhat: Array, rstd: Array) -> Array:
    mean_gx = (g * xhat).mean(-1, keepdims=True)
    return rstd[..., None] * (g - g.mean(-1, keepdims=True) - xhat * mean_gx)


class Backward:
    """grad and normalized [batch, seq, hidden], as stored in `dtype`, and what becomes of them."""

    def __init__(self, batch: int, seq: int, hidden: int, dtype: str) -> None:
        self.shape, self.dtype, self.scale = (batch, seq, hidden), dtype, 0.75
        self.grad = store(numbers(batch, seq, hidden, seed=2), dtype)
        self.normalized = store(normalised(numbers(batch, seq, hidden))[0], dtype)
        self.rstd = np.exp(numbers(batch, seq)).astype(np.float32)
        self.weight = store(1 + 0.1 * numbers(hidden), dtype)

    def run(self, module: ModuleType = MODULE, **options: Any) -> Output:
        settings = {"weight": self.weight, "sums": True, "device": H100, "seed": 0}
        return module.norm_mix_grad(
            self.grad, self.normalized, self.rstd, self.dtype, self.scale, **settings | options
        )

    def exact(self, precision: type = np.float64) -> dict[str, Array]:
        parts = (self.grad, self.normalized, self.weight)
        dy, xhat, weight = (load(a, self.dtype).astype(precision) for a in parts)
        du = norm_gradient(dy * weight, xhat, self.rstd.astype(precision))
        dx = du + precision(self.scale) * mixed(du)
        return {"du": du, "dx": dx, "dweight": (dy * xhat).sum((0, 1)), "dbias": dy.sum((0, 1))}

    def check(self, output: Output) -> None:
        assert output["status"] == OK
        assert errors(output) == []
        narrow = self.exact(np.float32)
        for name, truth in self.exact().items():
            if name not in output:
                continue
            result = fetch(output[name], self.dtype, truth.shape)
            assert_within_bar(result, truth, narrow[name], self.dtype)


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
@pytest.mark.parametrize("hidden", HIDDEN[:3])
def test_backward_in_slices_and_any_order(hidden: int, dtype: str) -> None:
    problem = Backward(5, SEQ[0], hidden, dtype)
    whole = problem.run()
    problem.check(whole)
    assert len(whole["launches"]) == 3, "two kernels, and one for the sums"
    for seed in (7, 8):
        again = problem.run(seed=seed)
        for name in ("dx", "dweight", "dbias"):
            np.testing.assert_array_equal(again[name], whole[name])
    alone = problem.run(sums=False)
    assert len(alone["launches"]) == 2
    assert errors(alone) == []
    np.testing.assert_array_equal(alone["dx"], whole["dx"])
    sliced = problem.run(device=ONE_BY_ONE)
    problem.check(sliced)
    assert len(sliced["launches"]) == 11
    np.testing.assert_array_equal(sliced["dx"], whole["dx"])


def test_backward_of_more_lines_than_blocks() -> None:
    """Threads take several lines, and the workspace for sums stays as it is."""
    few, many = (Backward(batch, 16, 64, "bfloat16") for batch in (1, 3600))
    output = many.run()
    many.check(output)
    assert output["launches"][0]["grid"][0] <= 132 * 4, "what the device holds at once"
    spectrum, edges, flags = 16 * 20 * 8, 3 * 16 * 4, 2 * 3 * 4
    assert output["workspace"] - 1800 * (spectrum + edges + flags) <= 132 * 4 * 2 * 64 * 4
    assert few.run()["workspace"] >= spectrum


def test_backward_without_weight() -> None:
    problem = Backward(2, 16, 64, "float32")
    problem.weight = np.ones(64, np.float32)
    with_ones = problem.run()
    problem.check(with_ones)
    without = problem.run(weight=None)
    np.testing.assert_array_equal(without["dx"], with_ones["dx"])


def test_backward_of_float16_mixes_what_float16_would_lose() -> None:
    """Rows of a large deviation have a du below float16's range; their mixing is within it."""
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

    # From the very x: the kept rows were rounded to the dtype.
    x, w, dy = (load(a, dtype) for a in (problem.stored, problem.weight, second.grad))
    du = norm_gradient(dy * w, *normalised(x + mixed(x)))
    exact = du + mixed(du)
    unit = {"float32": 2.0**-24, "bfloat16": 2.0**-9, "float16": 2.0**-12}[dtype]
    dx = fetch(output["dx"], dtype, problem.shape)
    assert np.abs(dx - exact).max() <= 4 * unit * np.abs(exact).max()


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


#: Forward and backward, as a mutant runs them: it has no kernel for the sums.
RUNS = ((Problem, {}), (Backward, {"sums": False}))


def caught(problem: Problem | Backward, module: ModuleType, options: dict[str, Any]) -> bool:
    try:
        problem.check(problem.run(module, **options))
    except AssertionError:
        return True
    return False


def test_a_zeroed_or_perturbed_output_is_caught() -> None:
    for problem in (Problem(2, 16, 64, "float32"), Backward(2, 16, 64, "float32")):
        output = problem.run()
        problem.check(output)
        for name in {"y", "dx", "dweight", "dbias"} & set(output):
            right = output[name].view(np.float32)
            for wrong in (right * 0, np.roll(right, 1), right * np.float32(1.001)):
                with pytest.raises(AssertionError):
                    problem.check({**output, name: wrong.view(np.uint8)})


@pytest.mark.parametrize(
    ("kept_where", "faulty"),
    [("Width == 1", ["seq_fft", "seq_grad"]), ("Width > 1", ["row_fft", "row_grad"])],
)
def test_a_removed_barrier_is_caught(folder: Path, kept_where: str, faulty: list[str]) -> None:
    barrier = "    if constexpr (I > 0) {\n      sync();\n      take_all<I>(z);"
    edit = barrier.replace("sync();", f"if constexpr ({kept_where}) sync();")
    module = mutant(folder / f"barrier_{faulty[0]}", [("cuda/line_fft.h", barrier, edit)])
    for (P, options), kernel in zip(RUNS, faulty, strict=True):
        launches = P(1, 384, 768, "float32").run(module, **options)["launches"]
        wrong = {
            launch["kernel"]: {error["kind"] for error in launch["errors"]}
            for launch in launches
            if launch["errors"]
        }
        assert list(wrong) == [kernel]
        assert wrong[kernel] & {"race", "uninitialised"}


def test_a_mirror_off_by_one_is_caught(folder: Path) -> None:
    edits = [  # of the forward, of the backward
        [
            ("cuda/seq_fft.h", "? 2 - args.hidden : 2;", "? 1 - args.hidden : 1;"),
            (
                "cuda/row_grad.h",
                "swizzled(K::kLength - 4 - l)",
                "swizzled((2 * K::kLength - 8 - l) % K::kLength)",
            ),
        ],
        [
            (
                "cuda/row_fft.h",
                "const int minus_k = mirror(k, args.seq);",
                "const int minus_k = mirror(k, args.seq) - (k > 0);",
            ),
            (
                "cuda/seq_grad.h",
                "return mirror(k, K::kSeq);",
                "return mirror(k, K::kSeq) - (k > 0);",
            ),
        ],
    ]
    for number, pair in enumerate(edits):
        module = mutant(folder / f"mirror{number}", pair)
        for shape in ((1, 16, 64), (1, 384, 768)):
            for P, options in RUNS:
                assert caught(P(*shape, "float32"), module, options), (pair, shape)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("if (next_tile < tiles) await(ready(next_tile));", "", "race"),
        ("await(ready(next_tile));", "await(ready(next_tile - 2));", "deadlock"),
        ("tile = tiles - 1 - int(blockIdx.x)", "tile = int(blockIdx.x)", "deadlock"),
    ],
)
def test_a_tile_that_does_not_wait_for_the_next_is_caught(
    folder: Path, old: str, new: str, kind: str
) -> None:
    module = mutant(folder / f"await{len(new)}", [("cuda/seq_grad.h", old, new)])
    output = Backward(1, 16, 768, "float32").run(module, sums=False)
    assert kind in {error["kind"] for error in output["launches"][1]["errors"]}


def test_an_edge_announced_too_early_and_a_flag_not_cleared_are_caught(folder: Path) -> None:
    early = [
        ("cuda/seq_grad.h", "  announce(ready(tile));\n", ""),
        ("cuda/seq_grad.h", "  if (line == 0)\n", "  announce(ready(tile));\n  if (line == 0)\n"),
    ]
    uncleared = [("cuda/row_grad.h", "    store_global(args.ready + i, 0);", "    (void)i;")]
    for edits, kind in ((early, "race"), (uncleared, "uninitialised")):
        output = Backward(1, 16, 768, "float32").run(mutant(folder / kind, edits), sums=False)
        assert kind in {error["kind"] for error in output["launches"][1]["errors"]}
