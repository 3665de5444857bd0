"""Cache sizes as Linux reports them, for processors without CPUID, and the cache of tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

core = pytest.importorskip("fnet_core_test", reason="not built: run `make core-test`")

UNKNOWN = (1 << 20, 0)
L1 = [("1", "Data", "64K"), ("1", "Instruction", "64K")]
L2, L3 = ("2", "Unified", "2048K"), ("3", "Unified", "117760K")


def describe(folder: Path, caches: list[tuple[str, str, str]]) -> tuple[int, int]:
    for i, texts in enumerate(caches):
        index = folder / f"index{i}"
        index.mkdir()
        for name, text in zip(("level", "type", "size"), texts, strict=True):
            (index / name).write_text(text + "\n")
    return tuple(core.caches_in(str(folder)))


@pytest.mark.parametrize(
    ("caches", "found"),
    [
        ([*L1, L2, L3], (2 << 20, 117760 << 10)),
        ([L3, L2, *L1], (2 << 20, 117760 << 10)),
        ([*L1, L2], (2 << 20, 2 << 20)),
        ([*L1, L3], (1 << 20, 117760 << 10)),
        ([L1[1]], UNKNOWN),
        ([], UNKNOWN),
        ([("2", "Unified", ""), ("3", "Unified", "large")], UNKNOWN),
        ([("", "Unified", "2048K")], UNKNOWN),
    ],
    ids=str,
)
def test_sizes(caches: list[tuple[str, str, str]], found: tuple[int, int], tmp_path: Path) -> None:
    assert describe(tmp_path, caches) == found


def test_a_system_without_this_report(tmp_path: Path) -> None:
    assert tuple(core.caches_in(str(tmp_path / "absent"))) == UNKNOWN


MB = np.uint64(1 << 20)


@pytest.mark.parametrize(
    ("uses", "made"),
    [
        ([(1, 40), (2, 40), (1, 40), (2, 40)], [True, True, False, False]),
        ([(1, 40), (2, 40), (3, 40), (2, 40), (1, 40)], [True, True, True, False, True]),
        # The tables of one call: a long line's, and a short one's.
        ([(1, 121), (2, 1), (1, 121), (2, 1)], [True, True, False, False]),
        ([(1, 1), (2, 121), (1, 1), (2, 121)], [True, True, False, False]),
        ([(1, 121), (2, 121), (1, 121), (3, 1), (2, 121)], [True, True, False, True, True]),
    ],
)
def test_tables_that_are_kept(uses: list[tuple[int, int]], made: list[bool]) -> None:
    """Of 96 MB, those used last; and the last two of any size."""
    lengths, megabytes = np.array(uses, np.uint64).T
    assert core.made_plans(lengths, megabytes * MB) == made
