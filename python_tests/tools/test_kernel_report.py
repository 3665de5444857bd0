"""The kernel report's logic and the figures that are committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.gpu import command as gpu
from build_backend import fnet_nvcc
from python_tests.helpers.paths import ROOT
from tools.cuda_devices import DEVICES, MULTIPROCESSORS
from tools.kernel_report import RESULT, audit
from tools.kernel_report.compiled import CHECKED, OTHERS, occupancy
from tools.kernel_report.fingerprint import audited_code, compiled_code
from tools.kernel_report.passes import KINDS, PASSES, Pass
from tools.kernel_report.targets import compared, misses

REPORT: dict[str, Any] = json.loads(RESULT.read_text())


def test_the_report_has_every_architecture_that_a_wheel_has() -> None:
    built = {name.replace(".", "") for name in fnet_nvcc.ARCHITECTURES}
    assert REPORT["compiler"].keys() == built == MULTIPROCESSORS.keys() == {*CHECKED, *OTHERS}
    names = {frozenset(kernels) for kernels in REPORT["compiler"].values()}
    assert len(names) == 1, "the same kernels everywhere"


@pytest.mark.parametrize("architecture", MULTIPROCESSORS)
def test_every_length_fits(architecture: str) -> None:
    kernels = REPORT["compiler"][architecture]
    lengths: dict[str, bool] = {}
    for name, figures in kernels.items():
        length = name.split(" x ")[0]
        lengths[length] = lengths.get(length, False) or figures["occupancy"] > 0
    missing = [length for length, fits in lengths.items() if not fits]
    assert not missing, f"no block of these fits on sm_{architecture}"


def test_spills_are_a_target() -> None:
    assert not misses(REPORT)
    changed = json.loads(json.dumps(REPORT))
    kernels = changed["compiler"]["120"]
    runs = next(name for name, figures in kernels.items() if figures["occupancy"] > 0)
    too_large = next(name for name, figures in kernels.items() if figures["occupancy"] == 0)
    kernels[too_large] |= {"spill_bytes": 8, "stack_bytes": 8}
    assert not misses(changed)
    kernels[runs] |= {"spill_bytes": 8, "stack_bytes": 16}
    assert [miss.partition(f"{runs}: ")[2] for miss in misses(changed)] == [
        "spilled bytes: 8.000, at most 0",
        "stack frame: 16.000, at most 0",
    ]


def test_occupancy() -> None:
    kernel = {"registers": 127, "threads": 128, "shared": 26624}
    assert occupancy(kernel, "90") == 4 * 128 / 2048, "registers limit it"
    assert occupancy(kernel, "86") == 3 * 128 / 1536, "100 KB of shared memory limit it"
    assert occupancy(kernel | {"shared": 99 << 10}, "86") == 128 / 1536
    assert occupancy(kernel | {"shared": 100 << 10}, "86") == 0, "1 KB is the system's"
    assert occupancy({"registers": 32, "threads": 32, "shared": 0}, "86") == 16 * 32 / 1536


def test_the_fingerprints_are_those_of_the_code(tmp_path: Path) -> None:
    for name in ("core", "cuda", "cuda_sim", "fft"):
        (tmp_path / name).mkdir()
    kernel, plan = tmp_path / "cuda" / "a.h", tmp_path / "cuda" / "plan.cpp"
    kernel.write_text('#include "b.h"\nint a = 1;  // one\n')
    plan.write_text("int b = 1;\n")
    compiled, audited = compiled_code(tmp_path), audited_code(tmp_path)
    kernel.write_text("// a comment\nint a =\n    1;\n")
    assert (compiled_code(tmp_path), audited_code(tmp_path)) == (compiled, audited)
    plan.write_text("int b = 2;\n")  # the simulator runs it, nvcc does not compile it
    assert compiled_code(tmp_path) == compiled
    assert audited_code(tmp_path) != audited
    kernel.write_text("int a = 2;\n")
    assert compiled_code(tmp_path) != compiled


def test_the_committed_figures_are_of_this_code() -> None:
    assert REPORT["sources"] == compiled_code(ROOT / "csrc")
    assert REPORT["audited"] == audited_code(ROOT / "csrc")


def committed(**changes: Any) -> dict[str, Any]:
    """A report of the checked architectures that equals the committed one but for `changes`."""
    compiler = {a: REPORT["compiler"][a] for a in CHECKED}
    return json.loads(json.dumps({**REPORT, "compiler": compiler} | changes))  # type: ignore[no-any-return]


def test_a_check_compares_what_it_compiles_and_the_sources() -> None:
    assert compared(committed(), REPORT) == []
    (found,) = compared(committed(sources="others"), REPORT)
    assert "sm_86" in found
    assert "run `make kernel-report`" in found
    worse = committed()
    name = next(iter(worse["compiler"]["90"]))
    worse["compiler"]["90"][name]["spill_bytes"] = 8
    (found,) = compared(worse, REPORT)
    assert found.startswith("compiler/90/")
    assert found.endswith("spill_bytes: 8, was 0")
    assert compared(worse | {"nvcc": "14.0"}, REPORT) == []


def test_the_plans_are_those_of_the_measured_shapes() -> None:
    assert list(audit.SHAPES) == gpu.SHAPES
    assert REPORT["plans"].keys() == DEVICES.keys()
    assert all(len(of) == 2 * len(gpu.SHAPES) for of in REPORT["plans"].values())


def test_every_pass_has_figures_near_its_minimum() -> None:
    assert REPORT["passes"].keys() == {one.name for one in PASSES}
    assert {one.kind for one in PASSES} == KINDS.keys()
    for name, figures in REPORT["passes"].items():
        assert figures["least"] < figures["bytes_per_element"] <= figures["most"], name


@pytest.mark.parametrize(
    ("kind", "bf16", "fp32"),
    [("", 10, 16), ("backward", 16, 28), ("pre-norm", 12, 20), ("residual", 10, 16)],
)
def test_the_minimum_is_the_count_of_the_document(kind: str, bf16: int, fp32: int) -> None:
    for dtype, expected in (("bfloat16", bf16), ("float32", fp32)):
        one = Pass(512, 768, dtype, kind)
        assert one.least_bytes / one.elements == expected


def test_padding_counts_as_zeros_that_are_transformed_and_stored() -> None:
    one, packed = Pass(512, 768, "float32", "padded"), Pass(512, 768, "float32", "packed")
    assert (one.elements, one.transformed) == (896 * 768, 1024 * 768)
    assert one.cleared_bytes == 128 * (2 * 768 * 4 + 4)
    assert one.least_bytes == 4 * 4 * one.elements + 4 * one.transformed + one.cleared_bytes
    assert packed.least_bytes == 16 * packed.elements
    assert packed.cleared_bytes == 0


@pytest.mark.parametrize(
    "name", ["512x768 float32, pre-norm", "clear_rows 512x768 float32, padded"]
)
def test_more_bytes_miss_a_target(name: str) -> None:
    report = json.loads(json.dumps(REPORT))
    kernels = report["passes" if name in report["passes"] else "audit"]
    kernels[name]["bytes_per_element"] *= 1.06
    (miss,) = set(misses(report)) - set(misses(REPORT))
    assert miss.startswith(f"{name}: bytes per element")
