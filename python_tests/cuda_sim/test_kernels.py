"""The CUDA forward kernels in the simulator: correct, race-free, independent of order."""

from __future__ import annotations

import numpy as np
import pytest
from arrays import EPS, assert_accurate, compute_type, fetch, load, store
from problems import (
    DTYPES,
    FEW,
    FOURIER,
    H100,
    HARTLEY,
    HIDDEN,
    MISALIGNED,
    MIX,
    MODULE,
    NORM,
    OK,
    ONE_BY_ONE,
    RESIDUAL,
    SEQ,
    SMALL,
    UNSUPPORTED_DTYPE,
    UNSUPPORTED_LENGTH,
    UNSUPPORTED_ROW_SCALE,
    Backward,
    General,
    Problem,
    errors,
    numbers,
)

from python_tests.helpers.definition import mix, normalised


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
    rows, rstd = normalised(x + mix(x), EPS)
    kept = fetch(output["normalized"], dtype, problem.shape)
    narrow = x.astype(np.float32)
    assert_accurate(kept, rows, normalised(narrow + mix(narrow), EPS)[0], dtype)
    np.testing.assert_allclose(fetch(output["rstd"], "float32", problem.shape[:2]), rstd, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", HIDDEN[: 1 if FEW else 3])
def test_bits_do_not_depend_on_strides_slices_and_seeds(hidden: int, dtype: str) -> None:
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


needs_all_lengths = pytest.mark.skipif(FEW, reason="build with few lengths")


@needs_all_lengths
@pytest.mark.parametrize(
    ("batch", "seq", "hidden", "dtype", "device", "sizes"),
    [
        # A multiprocessor runs 2 blocks of seq_fft at 512 in bfloat16, and a sequence has 14.
        (32, 512, 768, "bfloat16", H100, [16, 16]),
        (32, 512, 768, "bfloat16", (132, 227 << 10, 200 << 20), [16, 16]),  # half of the memory
        (64, 512, 768, "bfloat16", H100, [16] * 4),
        (128, 512, 768, "bfloat16", H100, [16] * 8),  # 7 slices have a second wave
        (32, 512, 768, "bfloat16", (108, 163 << 10, 40 << 20), [11, 11, 10]),  # 2 of 16: likewise
        (12, 512, 768, "bfloat16", H100, [6, 6]),
        (4, 512, 768, "bfloat16", H100, [4]),  # a spectrum of 3 MB
        (1, 512, 768, "bfloat16", H100, [1]),
        (4, 4096, 768, "bfloat16", H100, [2, 2]),
        (8, 2048, 768, "bfloat16", H100, [4, 4]),
        (8, 2048, 768, "float32", H100, [4, 4]),
        (32, 2048, 768, "float32", H100, [4] * 8),
        (40, 512, 768, "bfloat16", SMALL, [6, 6, 6, 6, 6, 5, 5]),  # not 5 of 8: two waves each
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
def test_a_device_with_99_kb_gets_smaller_blocks(seq: int, dtype: str) -> None:
    problem = Problem(1, seq, 64, dtype)
    problem.check(problem.run(device=SMALL))
    second = Backward(1, seq, 64, dtype)
    second.check(second.run(device=SMALL))


@needs_all_lengths
def test_a_device_with_too_little_shared_memory_is_rejected() -> None:
    tiny = (40, 32 << 10, 4 << 20)
    assert Problem(1, 2048, 64, "float32").run(device=tiny)["status"] == UNSUPPORTED_LENGTH
    assert Backward(1, 2048, 64, "float32").run(device=tiny)["status"] == UNSUPPORTED_LENGTH
    problem = Problem(1, 256, 64, "float32")
    problem.check(problem.run(device=tiny))
    assert MODULE.slices(1, 8192, 64, "bfloat16", H100) == [1]
    assert MODULE.slices(1, 8192, 64, "bfloat16", tiny) == []


def test_row_scale_is_rejected_except_in_float16() -> None:
    scale = np.ones((2, 16), np.float32)
    for dtype in ("float32", "bfloat16"):
        assert Problem(2, 16, 64, dtype).run(row_scale=scale)["status"] == UNSUPPORTED_ROW_SCALE


@pytest.mark.skipif(FEW, reason="build without float16")
@pytest.mark.parametrize("kind", [MIX, RESIDUAL, NORM])
def test_row_scale_multiplies_rows_in_float16(kind: int) -> None:
    """As the same rows multiplied beforehand; powers of two lose no bits."""
    problem = Problem(3, 16, 64, "float16", kind)
    scale = np.exp2(np.round(numbers(3, 16))).astype(np.float32)
    scaled = problem.run(row_scale=scale, device=ONE_BY_ONE)
    problem.stored = store(load(problem.stored, "float16") * scale[..., None], "float16")
    problem.check(scaled)
    np.testing.assert_array_equal(scaled["y"], problem.run()["y"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [MIX, RESIDUAL, NORM])
def test_in_place(kind: int, dtype: str) -> None:
    for batch, seq, hidden in ((3, 16, 64), (1, SEQ[1], 768)):
        problem = Problem(batch, seq, hidden, dtype, kind)
        output = problem.run(in_place=True)
        problem.check(output)
        np.testing.assert_array_equal(output["y"], problem.run()["y"])


def test_unsupported_arguments_are_rejected() -> None:
    assert Problem(1, 17, 64, "float32").run()["status"] == UNSUPPORTED_LENGTH
    assert Problem(1, 16, 80, "float32").run()["status"] == UNSUPPORTED_LENGTH
    assert Problem(1, 16, 64, "float64").run()["status"] == UNSUPPORTED_DTYPE
    assert Problem(1, 16, 64, "float32").run(pitch=66)["status"] == MISALIGNED
    assert Problem(1, 16, 64, "bfloat16").run(pitch=68)["status"] == MISALIGNED


# The general path's halves.


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
def test_general_path_widens_rows(dtype: str) -> None:
    problem = General(3, 7, 13, dtype)
    wide = MODULE.widen_rows(problem.padded, 13, dtype, problem.row_scale, 0)
    assert errors(wide) == []
    widened = wide["wide"].view(compute_type(dtype)).reshape(problem.shape)
    np.testing.assert_allclose(widened, problem.x, rtol=1e-6)


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize("kind", [MIX, RESIDUAL, NORM])
@pytest.mark.parametrize("transform", [FOURIER, HARTLEY])
@pytest.mark.parametrize(("seq", "hidden"), [(7, 13), (1, 5), (6, 1), (2, 2), (10, 300)])
def test_general_path(seq: int, hidden: int, transform: int, kind: int, dtype: str) -> None:
    problem = General(3, seq, hidden, dtype, kind, transform)
    output = problem.run()
    if kind == NORM and hidden == 1:
        assert output["status"] == OK
        assert errors(output) == []
        np.testing.assert_array_equal(fetch(output["y"], dtype, problem.shape), problem.exact())
    else:
        problem.check(output)


@pytest.mark.parametrize("transform", [FOURIER, HARTLEY])
def test_general_path_in_place(transform: int) -> None:
    problem = General(2, 7, 13, "float32", MIX, transform)
    problem.padded = problem.stored
    problem.check(problem.run(in_place=True))


def test_the_transforms_differ() -> None:
    for transform in (FOURIER, HARTLEY):
        problem = General(3, 7, 13, "float32", MIX, transform)
        with pytest.raises(AssertionError, match="error"):
            problem.check(problem.run(transform=1 - transform))
