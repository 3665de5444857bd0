"""Mutants of the CUDA kernels, which the tests in this folder must catch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from mutant_build import loaded, mutant, original
from packed import Packed, Padded
from problems import FOURIER, HARTLEY, MIX, Backward, Block, General, Problem, errors


def caught(problem: Problem, module: ModuleType, options: dict[str, Any]) -> bool:
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


#: (file below csrc, text that occurs in it once, its replacement)
Edit = tuple[str, str, str]
BARRIER = "    if constexpr (I > 0) {\n      sync();\n      take_all<I>(z);"


def barrier_kept(where: str) -> Edit:
    return ("cuda/line_fft.h", BARRIER, BARRIER.replace("sync()", f"if constexpr ({where}) sync()"))


MUTANTS: dict[str, list[Edit]] = {
    "rows_without_barrier": [barrier_kept("Width > 1")],
    "columns_without_barrier": [barrier_kept("Width == 1")],
    "mirror_of_reads": [("cuda/seq_fft.h", "? 2 - args.hidden : 2;", "? 1 - args.hidden : 1;")],
    "mirror_of_writes": [
        (
            "cuda/row_epilogue.h",
            "const int minus_k = mirror(k, args.seq);",
            "const int minus_k = mirror(k, args.seq) - (k > 0);",
        )
    ],
    "rms_with_mean": [
        ("cuda/row_epilogue.h", "args.norm == NormType::kLayer ? of_row : 0.0f", "of_row")
    ],
    "rows_past_the_length_written": [
        ("cuda/row_epilogue.h", "wanted && k < rows.rows;", "wanted;")
    ],
    "statistics_of_the_wrong_row": [
        ("cuda/seq_fft.h", "(is_first ? 0 : K::kLength - odd - i);", "i;")
    ],
    "factor_of_the_wrong_column": [
        ("cuda/seq_fft.h", "m == 0 ? 0 : hidden - m)", "hidden - m - 2)")
    ],
    "row_past_the_length_read": [("cuda/seq_fft.h", "Adapted || n < rows", "Adapted || n <= rows")],
    "unwanted_rows_read": [("cuda/row_epilogue.h", "    if (!wanted) return {};\n", "")],
    "shared_units_cleared": [("cuda/clear_rows.cu", "unit >= begin && unit_end <= end", "true")],
    "general_mirror": [("cuda/general_path.cu", "right + (d - l)", "right + (d - l - 1)")],
    "general_conjugate": [("cuda/general_path.cu", ": -load_global", ": load_global")],
}


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Path]]]:
    """All mutants by name, compiled in the background on all cores."""
    folder = tmp_path_factory.mktemp("mutants")
    (folder / "original").mkdir()
    unchanged = original(folder / "original")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            name: pool.submit(mutant, folder / name, edits, unchanged)
            for name, edits in MUTANTS.items()
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [("columns_without_barrier", "seq_fft"), ("rows_without_barrier", "row_fft")],
)
def test_a_removed_barrier_is_caught(
    mutants: dict[str, Future[Path]], name: str, kernel: str
) -> None:
    launches = Problem(1, 384, 768, "float32").run(loaded(mutants[name].result()))["launches"]
    wrong = {
        launch["kernel"]: {error["kind"] for error in launch["errors"]}
        for launch in launches
        if launch["errors"]
    }
    assert list(wrong) == [kernel]
    assert wrong[kernel] & {"race", "uninitialised"}


@pytest.mark.parametrize("name", ["mirror_of_reads", "mirror_of_writes"])
def test_a_mirror_off_by_one_is_caught(mutants: dict[str, Future[Path]], name: str) -> None:
    module = loaded(mutants[name].result())
    for shape in ((1, 16, 64), (1, 384, 768)):
        assert caught(Problem(*shape, "float32"), module, {}), shape


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("rms_with_mean", {"rms": True}),
        ("statistics_of_the_wrong_row", {"norm_first": True}),
        ("factor_of_the_wrong_column", {"norm_first": True}),
    ],
)
def test_a_wrong_block_is_caught(
    mutants: dict[str, Future[Path]], name: str, block: dict[str, bool]
) -> None:
    module = loaded(mutants[name].result())
    assert caught(Block(2, 16, 64, "float32", **block), module, {})
    assert not caught(Problem(2, 16, 64, "float32"), module, {})


@pytest.mark.parametrize("name", ["rows_past_the_length_written", "row_past_the_length_read"])
def test_rows_past_a_length_are_caught(mutants: dict[str, Future[Path]], name: str) -> None:
    module = loaded(mutants[name].result())
    packed = Packed([(7, 16), (16, 16), (6, 16)], "float32", MIX)
    with pytest.raises(AssertionError):
        packed.check(packed.run(module))


def test_cleared_bytes_of_other_rows_are_caught(mutants: dict[str, Future[Path]]) -> None:
    module = loaded(mutants["shared_units_cleared"].result())
    padded = Padded([3, 0, 4], 4, 13, "float32")
    padded.check(padded.run())
    with pytest.raises(AssertionError):
        padded.check(padded.run(module))


def test_a_line_that_reads_rows_of_another_is_caught_in_place(
    mutants: dict[str, Future[Path]],
) -> None:
    module = loaded(mutants["unwanted_rows_read"].result())
    assert errors(Problem(1, 16, 64, "float32").run(module)) == []
    output = Problem(1, 16, 64, "float32").run(module, in_place=True)
    assert "race" in {error["kind"] for error in errors(output)}


@pytest.mark.parametrize(
    ("name", "transforms"),
    [("general_mirror", [FOURIER, HARTLEY]), ("general_conjugate", [HARTLEY])],
)
def test_a_wrong_second_half_of_the_spectrum_is_caught(
    mutants: dict[str, Future[Path]], name: str, transforms: list[int]
) -> None:
    module = loaded(mutants[name].result())
    for transform in (FOURIER, HARTLEY):
        problem = General(2, 7, 13, "float32", MIX, transform)
        assert caught(problem, module, {}) == (transform in transforms)
