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
from problems import FOURIER, HARTLEY, MIX, Backward, General, Problem

#: The problems that a mutant runs, forward and backward. It has no kernel for the sums.
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


#: (file below csrc, text that occurs in it once, its replacement)
Edit = tuple[str, str, str]
BARRIER = "    if constexpr (I > 0) {\n      sync();\n      take_all<I>(z);"
ANNOUNCE, EDGE = "  announce(flag(tile()));\n", "  if (K::fft().line == 0) {\n"
AWAIT = "  if (next_tile < tiles) in_time = await(flag(next_tile));\n"


def barrier_kept(where: str) -> Edit:
    return ("cuda/line_fft.h", BARRIER, BARRIER.replace("sync()", f"if constexpr ({where}) sync()"))


MUTANTS: dict[str, list[Edit]] = {
    "rows_without_barrier": [barrier_kept("Width > 1")],
    "columns_without_barrier": [barrier_kept("Width == 1")],
    "mirror_of_reads": [
        ("cuda/seq_fft.h", "? 2 - args.hidden : 2;", "? 1 - args.hidden : 1;"),
        (
            "cuda/row_grad.h",
            "row[i + 1] += four[3], row[i + 2] += four[2], row[i + 3] += four[1];",
            "row[i + 1] += four[2], row[i + 2] += four[1], row[i + 3] += four[0];",
        ),
    ],
    "mirror_of_writes": [
        (
            "cuda/row_epilogue.h",
            "const int minus_k = mirror(k, args.seq);",
            "const int minus_k = mirror(k, args.seq) - (k > 0);",
        ),
        (
            "cuda/seq_grad.h",
            "last = K::kSeq - row - 2 * kLast;",
            "last = K::kSeq - row - 2 * kLast - (row > 0);",
        ),
    ],
    "no_await": [("cuda/seq_grad.h", AWAIT, "")],
    "wrong_tile_awaited": [
        ("cuda/seq_grad.h", AWAIT, AWAIT.replace("(next_tile))", "(next_tile - 2))"))
    ],
    "late_tile_awaited": [
        (
            "cuda/seq_grad.h",
            AWAIT,
            AWAIT.replace("(next_tile))", "(min_of(next_tile + 1, tiles - 1)))"),
        )
    ],
    "tiles_in_wrong_order": [("cuda/seq_grad.h", "return tiles - 1 - opaque(", "return opaque(")],
    "announced_too_early": [
        ("cuda/seq_grad.h", ANNOUNCE, ""),
        ("cuda/seq_grad.h", EDGE, ANNOUNCE + EDGE),
    ],
    "flag_not_cleared": [
        ("cuda/row_grad.h", "    store_global(args.flags + i, 0);", "    (void)i;")
    ],
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
    ("name", "faulty"),
    [
        ("columns_without_barrier", ["seq_fft", "seq_grad"]),
        ("rows_without_barrier", ["row_fft", "row_grad"]),
    ],
)
def test_a_removed_barrier_is_caught(
    mutants: dict[str, Future[Path]], name: str, faulty: list[str]
) -> None:
    module = loaded(mutants[name].result())
    for (P, options), kernel in zip(RUNS, faulty, strict=True):
        launches = P(1, 384, 768, "float32").run(module, **options)["launches"]
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
        for P, options in RUNS:
            assert caught(P(*shape, "float32"), module, options), shape


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("no_await", "race"),
        ("wrong_tile_awaited", "deadlock"),
        ("late_tile_awaited", "race"),
        ("tiles_in_wrong_order", "deadlock"),
        ("announced_too_early", "race"),
        ("flag_not_cleared", "uninitialised"),
    ],
)
def test_a_tile_that_reads_unordered_edges_is_caught(
    mutants: dict[str, Future[Path]], name: str, kind: str
) -> None:
    module = loaded(mutants[name].result())
    output = Backward(1, 16, 768, "float32").run(module, sums=False)
    assert kind in {error["kind"] for error in output["launches"][1]["errors"]}


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
