"""The model of time: it follows its inputs, agrees with an H100, and the document shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from bench.readme import updated
from tools import kernel_time
from tools.cuda_devices import DEVICES
from tools.kernel_time import Case, Launch, Model, cases, measured

REPORT: dict[str, Any] = json.loads(kernel_time.REPORT.read_text())
RUN: dict[str, Any] = json.loads(kernel_time.MEASURED.read_text())
H100 = Model("H100", REPORT)
#: 132 blocks fill an H100 once; the counts take 3 us to load, 2 to compute and 1 to store.
LAUNCH = Launch(
    kernel="row_fft",
    blocks=132,
    resident=1,
    rounds=1,
    instructions=2e-6 * 4 * 132 * DEVICES["H100"].clock,
    wavefronts=0,
    read=3e-6 * kernel_time.L2_SHARE * DEVICES["H100"].l2,
    written=1e-6 * kernel_time.L2_SHARE * DEVICES["H100"].l2,
    run=128,
    waits=0,
)


def microseconds(**changes: float) -> float:
    """The time of LAUNCH with changes, without its start."""
    time = H100.time(replace(LAUNCH, **changes))  # type: ignore[arg-type]
    return 1e6 * (time.total - time.start)


def test_the_phases_of_one_wave_add_up() -> None:
    assert microseconds() == pytest.approx(3 + 2 + 1)


def test_two_waves_overlap_what_is_not_the_longest_phase() -> None:
    assert microseconds(blocks=264) == pytest.approx(3 + (2 + 1) / 2)
    assert microseconds(rounds=4) == pytest.approx(3 + (2 + 1) / 4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"run": 32}, 6 + 2 + 1),  # half of each lookup in L2 is unused
        ({"wavefronts": 5e-6 * 132 * DEVICES["H100"].clock}, 3 + 5 + 1),
        ({"dram_read": 4e-6 * kernel_time.DRAM_SHARE * DEVICES["H100"].dram}, 4 + 2 + 1),
        ({"dram_written": 4e-6 * kernel_time.DRAM_SHARE * DEVICES["H100"].dram}, 3 + 2 + 4),
        ({"waits": 20}, 20 * 0.3 + 2 + 1),
        ({"blocks": 100}, 3 + 2 * 1.32 + 1),  # 32 multiprocessors idle
    ],
)
def test_the_busiest_resource_sets_a_phase(changes: dict[str, float], expected: float) -> None:
    assert microseconds(**changes) == pytest.approx(expected)


@pytest.mark.parametrize("name", [n for n in cases() if measured(RUN, n)])
def test_the_model_is_within_a_quarter_of_an_h100(name: str) -> None:
    ratio = 1e6 * sum(map(H100.seconds, cases()[name])) / measured(RUN, name)  # type: ignore[operator]
    assert 0.75 < ratio < 1.25


@pytest.mark.parametrize("device", DEVICES)
def test_every_device_has_a_time_above_its_copy(device: str) -> None:
    model = Model(device, REPORT)
    for passes in cases().values():
        for case in passes:
            assert model.copy(case) < model.seconds(case) < 0.01


@pytest.mark.parametrize("dtype", kernel_time.NAMES)
def test_prenorm_runs_other_kernels(dtype: str) -> None:
    case = Case(32, 512, 768, dtype, norm_first=True)
    forward = H100.slice_times(case)
    assert [time.kernel for time in forward] == ["row_statistics", "seq_fft", "row_fft"]
    backward = H100.slice_times(replace(case, backward=True))
    assert [time.kernel for time in backward] == ["seq_fft", "row_fft", "norm_grad"]
    _, plain = H100.shape("seq_fft", 512, dtype)
    _, adapted = H100.shape("seq_fft", 512, dtype, "adapted")
    assert plain == adapted, "they differ in registers alone"
    assert forward[1].compute > H100.slice_times(Case(32, 512, 768, dtype))[0].compute


def test_a_faster_memory_is_faster() -> None:
    case = Case(32, 512, 768, "bfloat16")
    model = Model("H100", REPORT)
    model.device = replace(model.device, dram=2 * model.device.dram)
    assert model.seconds(case) < H100.seconds(case)


def test_the_document_shows_the_committed_report() -> None:
    text = kernel_time.block(REPORT, RUN)
    document = kernel_time.DOCUMENT.read_text()
    expected = updated(document, {"model": text}, "tools/kernel_time.py")
    assert document == expected, "run python -m tools.kernel_time"
    assert "model" in text.splitlines()[0], "tables say what they are"
    assert "(model)" in text


def test_figures_that_were_not_measured_stay_empty() -> None:
    run = json.loads(json.dumps(RUN))
    del run["times"]["forward, 32x512x768 bf16"]
    _, rows = kernel_time.time_table(REPORT, run)
    (row,) = (r for r in rows if r[0] == "forward, 32x512x768 bf16")
    assert row[-2:] == ["", ""]
    assert all(row[1:5])
