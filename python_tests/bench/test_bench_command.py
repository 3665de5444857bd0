"""`python -m bench` on tiny shapes: files, absences, bad arguments, wrong results."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import command as bench_command
from bench import shapes
from bench.contestants import registry as contestants
from bench.contestants.setting import Setting
from bench.measure import memory, study, timing
from bench.measure.study import Row, Study
from bench.report import paper
from bench.report import tables as report
from bench.report.tables import tables
from fnet_kernels._timing import Timing

EAGER = [c for c in contestants.CONTESTANTS if "compiled" not in c.name]
COPY, NO_MIXING = (next(c for c in EAGER if c.name == n) for n in ("copy", "layer_norm(x + x)"))
MINE = f"ours {torch.ops.fnet_kernels.cpu_isa()}"


@pytest.fixture(autouse=True)
def eager_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compiling would take too long. One thread avoids waiting for a busy core."""
    monkeypatch.setattr(study, "CONTESTANTS", EAGER)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.ops.fnet_kernels.set_cpu_isa("auto")


@pytest.fixture
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def peaks(shape: Any, dtype: str, direction: str, names: list[str], threads: int) -> Any:
        return "not measured in this test"

    monkeypatch.setattr(memory, "peaks", peaks)


def bench(out: Path, *words: str, shapes: str = "2x6x8,1x9x8") -> int:
    return bench_command.main(["--shapes", shapes, "--seconds", "0", "--out", str(out), *words])


def test_forward_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(tmp_path, "--device", "cpu", shapes="2x6x8") == 0
    said = capsys.readouterr()
    assert "absent: ours cuda: does not run on cpu" in said.out
    assert "[5/5]" in said.err, "progress"
    assert said.out.rstrip().splitlines()[-1].startswith("2x6x8: best other is")

    found = json.loads((tmp_path / "bench.json").read_text())
    facts = found["machine"]
    assert facts["device"] == "cpu"
    assert facts["threads"] == torch.get_num_threads()
    assert facts["isa"]["auto"] == torch.ops.fnet_kernels.cpu_isa()
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["date"]
    everybody = {c.name for c in (*EAGER, *contestants.LAYERS)}
    absent = {entry["contestant"] for entry in found["absent"]}
    ran = {row["contestant"] for row in found["rows"]}
    assert ran | absent >= everybody
    assert not ran & absent
    for row in found["rows"]:
        assert 0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"]
    mine = next(row for row in found["rows"] if row["contestant"] == MINE)
    assert mine["over_ours"] == 1
    if sys.platform == "linux":
        assert mine["peak_mib"] is not None

    with (tmp_path / "bench.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(found["rows"])
    assert {"device", "processor", "threads", "isa", "torch", "date"} <= lines[0].keys()
    assert float(lines[0]["median_ms"]) == found["rows"][0]["median_ms"]

    plots = sorted(path.name for path in tmp_path.glob("*.png"))
    names = ("attention", "awkward", "layer", "roofline", "speedup")
    assert plots == [f"bench_{name}.png" for name in names]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in plots)


@pytest.mark.parametrize(("dtype", "direction"), [("bf16", "backward"), ("fp16", "both")])
def test_other_passes_and_dtypes(
    dtype: str, direction: str, tmp_path: Path, no_child: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(tmp_path, "--dtype", dtype, "--pass", direction) == 0
    said = capsys.readouterr().out
    assert "absent: SciPy: " in said
    assert "absent: peak memory: not measured in this test" in said
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert {row["direction"] for row in rows} == {direction}
    for shape in ("2x6x8", "1x9x8"):
        ran = {row["contestant"] for row in rows if row["shape"] == shape}
        assert {MINE, "fftn", "self-attention", "layer: no mixing"} <= ran


def test_a_wrong_contestant_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = dataclasses.replace(COPY, name="wrong", role="library")
    monkeypatch.setattr(study, "CONTESTANTS", [*EAGER, wrong])
    assert bench(tmp_path) == 1
    assert "a result is wrong: wrong: relative error" in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "no report is written"


def test_bad_arguments_give_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench(tmp_path, "--device", "cuda") == 2
    assert capsys.readouterr().err == ("bench: error: --device cuda: torch finds no CUDA device\n")
    (tmp_path / "file").touch()
    assert bench(tmp_path / "file") == 2
    assert "--out: " in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        bench(tmp_path, shapes="8x512")
    assert end.value.code == 2
    assert "'8x512': expected batch x seq x hidden" in capsys.readouterr().err


def test_shapes() -> None:
    assert shapes.parse(" 8x512x768,1x7x12,8x512x768") == [(8, 512, 768), (1, 7, 12)]
    for bad in ("", "8x512", "8x0x768", "axbxc", "8x-1x768"):
        with pytest.raises(ValueError, match="expected batch x seq x hidden"):
            shapes.parse(bad)
    sweep = shapes.equal_tokens(16384)
    assert [seq for _, seq, _ in sweep] == list(shapes.LENGTHS)
    assert {batch * seq for batch, seq, _ in sweep} == {16384}
    assert shapes.equal_tokens(300) == [(2, 128, 768), (1, 256, 768)]


def test_a_missing_library_is_absent_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyfftw", None)
    fftw = next(c for c in EAGER if c.name == "FFTW")
    _, absent = timing.ready([fftw], timing.Problem.random((1, 4, 4)))
    assert absent == {"FFTW": "pyfftw is not installed"}


def test_too_large_matrices_are_absent() -> None:
    matmul = next(c for c in EAGER if c.name == "matmul fp32")
    with pytest.raises(contestants.Absent, match=r"would take 19\.5 GiB"):
        matmul.build(Setting((1, 51200, 1024)))


def row(contestant: str, role: str, over_ours: float, in_rounds: bool = True) -> Row:
    size = ("1x4x4", 1, 4, 4, "float32", "forward")
    times = (7, in_rounds, 1.0, 2.0, 3.0, over_ours, over_ours, over_ours, 0.5, None)
    return Row("sublayer", *size, contestant, role, *times)


def test_slower_shapes_are_marked() -> None:
    rows = [row("ours", "ours", 1.0), row("fftn", "formula", 1.5), row("copy", "floor", 0.2)]
    assert "best other is fftn, 1.50x: ours is faster" in tables(Study(rows))
    rows.append(row("quick", "library", 0.9, in_rounds=False))
    text = tables(Study(rows))
    assert "best other is quick, 0.90x: OURS IS SLOWER" in text
    line = next(line for line in text.splitlines() if line.startswith("quick"))
    assert line.split() == ["quick", "~2", "0.90x!"]


def test_a_very_slow_contestant_runs_once() -> None:
    problem = timing.Problem.random((1, 4, 4))
    entries, _ = timing.ready([COPY, NO_MIXING], problem)
    clock = iter([9.0, 9.0, 0.1])  # the first is slow, cold and warm; the second is fast

    def fake_seconds(call: Any) -> float:
        call()
        return next(clock, 0.1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "wall_seconds", fake_seconds)
        times = timing.time_all(entries, problem.forward, 0, patience=1.0, longest=5.0, minimum=3)
    slow, quick = times.values()
    assert slow == Timing((9.0,), in_rounds=False), "longer than `longest`: one call"
    assert len(quick.seconds) == 3


def test_a_slow_contestant_runs_a_few_times() -> None:
    problem = timing.Problem.random((1, 4, 4))
    entries, _ = timing.ready([COPY], problem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "wall_seconds", lambda call: 2.0)
        times = timing.time_all(entries, problem.forward, 0, patience=1.0, longest=5.0, minimum=9)
    assert [len(t.seconds) for t in times.values()] == [timing.SELDOM]
    assert not times["copy"].in_rounds


def test_a_negative_peak_is_written_but_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peaks(shape: Any, dtype: str, direction: str, names: list[str], threads: int) -> Any:
        return {name: -24576 if name == MINE else 2**20 for name in names}

    monkeypatch.setattr(memory, "peaks", peaks)
    assert bench(tmp_path, "--device", "cpu") == 0
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert {row["peak_mib"] for row in rows if row["contestant"] == MINE} == {-24576 / 2**20}
    assert (tmp_path / "bench_attention.png").exists()


def test_every_absence_is_reported(
    tmp_path: Path,
    no_child: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_memory(setting: Setting) -> Any:
        raise torch.OutOfMemoryError("no memory for this")

    fails = contestants.Contestant("fails", "library", "", no_memory)
    as_if = next(c for c in EAGER if c.name == "fold")
    as_if = dataclasses.replace(as_if, name="fold compiled")
    monkeypatch.setattr(study, "CONTESTANTS", [*EAGER, fails, as_if])
    written: list[int] = []
    save = report.save
    monkeypatch.setattr(
        bench_command, "save", lambda *a: written.append(len(a[0].rows)) or save(*a)
    )
    assert bench(tmp_path, "--device", "cpu", "--layers", "9", shapes="2x6x8,1x9x8") == 0
    said = capsys.readouterr().out
    assert "absent: fails: no memory for this" in said
    assert "absent: peak memory of fold compiled: not measured" in said
    assert "absent: encoder layers: left out by --layers (2x6x8)" in said
    assert 0 < written[0] < written[1] == written[2], "after each shape, and at the end"
    layers = {r["shape"] for r in json.loads((tmp_path / "bench.json").read_text())["rows"]}
    assert layers == {"2x6x8", "1x9x8"}


def test_matrix_products_compute_in_their_own_dtypes() -> None:
    x = torch.randn(2, 32, 48, dtype=torch.bfloat16)
    one, zero = torch.ones(48, dtype=x.dtype), torch.zeros(48, dtype=x.dtype)
    setting = Setting((2, 32, 48), torch.bfloat16)
    made = [c.build(setting) for c in EAGER if c.role == "matmul"]
    assert [m.dtype for m in made] == [torch.float32, torch.bfloat16]  # type: ignore[attr-defined]
    in_float32, in_bfloat16 = (m(x, one, zero) for m in made)
    assert not torch.equal(in_float32, in_bfloat16)


def test_awkward_shapes_have_their_own_tables() -> None:
    assert all(map(shapes.is_awkward, shapes.AWKWARD))
    assert not any(map(shapes.is_awkward, [*shapes.TARGET_SHAPES, *shapes.equal_tokens(16384)]))
    regular = dataclasses.replace(row("ours", "ours", 1.0), shape="8x512x768", batch=8, seq=512)
    text = tables(Study([dataclasses.replace(regular, hidden=768), row("ours", "ours", 1.0)]))
    heads = [line.split() for line in text.splitlines() if line.startswith("sublayer")]
    assert heads == [["sublayer", "8x512x768"], ["sublayer", "1x4x4"]]


def test_calls_rotate_through_the_copies_of_x() -> None:
    seen: list[int] = []

    def spy(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        seen.append(x.data_ptr())
        return x * 1

    problem = timing.Problem.cold(Setting((1, 4, 4)))
    call = problem.forward(spy)
    for _ in range(17):
        call()
    assert len(set(seen)) == 16
    assert seen[0] == seen[16]
    seen.clear()
    step = problem.step(spy)
    assert step()[0].shape == (1, 4, 4)
    step()
    assert seen[0] != seen[1]


def test_backward_returns_the_gradients_of_step() -> None:
    problem = timing.Problem.random((2, 6, 8))
    attention = contestants.attention_form(Setting((2, 6, 8)))
    backward = problem.backward(attention)
    backward.before()
    grads = backward()
    assert len(grads) == 3 + len(list(attention.parameters()))  # type: ignore[attr-defined]
    torch.testing.assert_close(grads, problem.step(attention)())
    assert grads[1] is None, "attention has its own LayerNorm"


def test_the_tables_of_the_paper() -> None:
    lines = [line.split() for line in paper.tables().splitlines()]
    assert ["FNet,", "Base", "11", "8", "12.4x", "9.5x"] in lines
    assert ["self-attention,", "Large", "404", "212", "1.0x", "1.0x"] in lines
    assert ["FNet", "0.8", "1.3", "2.2", "3.9", "7.4"] in lines
    assert "BERT-Base 98, FNet-Base 62" in paper.tables()


def test_only_a_wrong_result_is_reported_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def divides(*args: Any, **rest: Any) -> None:
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(bench_command, "study", divides)
    with pytest.raises(ZeroDivisionError):
        bench(tmp_path)
