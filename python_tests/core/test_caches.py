"""Cache sizes as Linux describes them, where the processor has no cpuid."""

from __future__ import annotations

from pathlib import Path

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


def test_a_system_that_says_nothing(tmp_path: Path) -> None:
    assert tuple(core.caches_in(str(tmp_path / "absent"))) == UNKNOWN
