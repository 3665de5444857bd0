"""bench.gpu on the CPU in place of a GPU: required contestants, and what the targets compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench import folders
from bench.contestants import registry as contestants
from bench.contestants import transforms
from bench.contestants.registry import LAYERS, Contestant, best_of_ours
from bench.contestants.setting import Setting
from bench.gpu import command as gpu
from bench.gpu import models as gpu_models
from bench.gpu.device import Host
from bench.gpu.report import Report, merge
from fnet_kernels._timing import Timing

MINE = best_of_ours("cpu")
SETTING = Setting((2, 16, 64))
TRAINING = replace(SETTING, backward=True)


@pytest.fixture
def device() -> Iterator[Host]:
    threads = torch.get_num_threads()
    yield Host()
    torch.set_num_threads(threads)
    contestants.pin()


@pytest.fixture
def report(device: Host, tmp_path: Path) -> Report:
    return Report(device, tmp_path / "report.json", 600.0, gpu.TARGETS)


def note(report: Report, what: str, ratio: float) -> None:
    """Record a figure and check its target, as a part of the memory step does."""
    report.content["memory"][what] = {"case": ratio}
    report.check(gpu.MEMORY, (ratio,) * 3, where=what, against="case")


def rival(name: str, function: Callable[..., Tensor], **more: Any) -> Contestant:
    return Contestant(name, "composition", "", lambda setting: function, **more)


def test_the_gpu_targets() -> None:
    assert {target.name: str(target) for target in gpu.TARGETS} == {
        "forward: formula / ours": ">= 10",
        "forward: compiled formula / ours": ">= 6",
        "forward: ours / copy of x": "<= 1.5",
        "forward, N = 512: attention / ours": ">= 5",
        "forward, N = 4096: attention / ours": ">= 20",
        "layer / layer with LayerNorm(x) alone": "<= 1.05",
        "extra memory / x in fp32": "<= 0.5",
    }


def test_every_name_is_a_contestant() -> None:
    assert len(gpu.chosen(*gpu.RIVALS)) == len(gpu.RIVALS) == 17
    known = {c.name for c in (*contestants.CONTESTANTS, *LAYERS)}
    assert set(gpu.NEEDED) - known <= {MINE, "ours cuda"}
    assert set(gpu.SPARE) < set(gpu.RIVALS)


def test_a_rival_that_fails_is_absent(report: Report, device: Host) -> None:
    calls = iter(range(99))

    def fails(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        raise RuntimeError("no memory for this\nmore words")

    def fails_later(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return transforms.formula(x, weight, bias) if next(calls) < 1 else fails(x, weight, bias)

    def wrong(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return transforms.formula(x, weight, bias) * 1.001

    rivals = [rival("fails", fails), rival("later", fails_later), rival("wrong", wrong)]
    field = [*rivals, *gpu.chosen("CuPy", "fftn", "copy", MINE)]
    times = gpu.compare(report, "what", field, SETTING, device)
    assert list(times) == ["copy", MINE, "fftn"], "required contestants come first"
    assert all(len(t.seconds) == 3 and t.median > 0 for t in times.values())
    absent = report.content["absent"]["what"]
    assert absent.pop("wrong").startswith("wrong: relative error")
    assert absent == {
        "fails": "no memory for this",
        "later": "capture: no memory for this",
        "CuPy": "does not run on cpu",
    }


@pytest.mark.parametrize("name", ["copy", MINE])
def test_a_required_contestant_ends_its_part(name: str, report: Report, device: Host) -> None:
    ran: list[str] = []
    last = rival("last", transforms.formula, before=lambda: ran.append("last"))
    broken = replace(last, name=name, make=lambda setting: None, before=None)
    other = gpu.chosen(*{"copy", MINE} - {name})
    report.part(
        "what", lambda: gpu.compare(report, "what", [last, *other, broken], SETTING, device)
    )
    assert report.failed
    assert "TypeError" in report.content["not_run"]["what"]
    assert not ran, "it runs before the others"


def test_gradients_and_layers_are_checked(report: Report, device: Host) -> None:
    def no_gradient(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return transforms.formula(x.detach(), weight, bias) + 0 * x

    field = [rival("no gradient", no_gradient), *gpu.chosen("fftn", "copy", "self-attention", MINE)]
    assert "no gradient" in gpu.compare(report, "forward", field, SETTING, device)
    times = gpu.compare(report, "step", field, TRAINING, device)
    assert times.keys() == {"fftn", "copy", "self-attention", MINE}
    assert report.content["absent"]["step"]["no gradient"].startswith("no gradient: relative")

    ours, unmixed = (next(c for c in LAYERS if c.name == n) for n in gpu.NEEDED[-2:])
    wrong = replace(unmixed, name=ours.name)
    assert gpu.compare(report, "layer", [ours, unmixed], SETTING, device)
    with pytest.raises(ArithmeticError, match="layer: ours: relative error"):
        gpu.compare(report, "layer", [wrong, unmixed], SETTING, device)


@pytest.mark.parametrize("name", ["self-attention, flash", "self-attention compiled"])
def test_the_reference_of_attention_uses_any_kernel(
    name: str, report: Report, device: Host
) -> None:
    attention = next(c for c in contestants.CONTESTANTS if c.name == name)
    function = replace(attention, devices=("cpu",)).build(SETTING)
    twin = gpu.exact(attention, function)
    assert twin.backend is None
    assert not hasattr(twin, "_orig_mod"), "it is not compiled"
    assert (function.backend is None) == ("compiled" in name)  # type: ignore[attr-defined]
    kinds = {p.dtype for p in twin.parameters()}, {p.dtype for p in function.parameters()}  # type: ignore[attr-defined]
    assert kinds == ({torch.float64}, {torch.float32})


def test_before_runs_before_the_capture(report: Report, device: Host) -> None:
    pinned: list[str] = []
    seen: list[str] = []

    def spy(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        seen.append(pinned[-1])
        return transforms.formula(x, weight, bias)

    def unlike(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        assert pinned[-1] == "b"
        return transforms.formula(x, weight, bias)

    class Captures(Host):
        def seconds(self, calls: Any) -> list[float]:
            return [1.0 for _ in calls]  # a graph replay calls no Python function

    field = [rival("a", spy, before=lambda: pinned.append("a"))]
    field.append(rival("b", unlike, before=lambda: pinned.append("b")))
    gpu.compare(report, "what", [*field, *gpu.chosen("copy", MINE)], SETTING, Captures())
    assert set(seen) == {"a"}
    assert not report.content["absent"]


def test_a_library_is_timed_without_a_capture(report: Report, device: Host) -> None:
    captured: list[str] = []

    class Captures(Host):
        def capture(self, call: Any, warm_up: bool = True) -> Any:
            captured.append("captured")
            return super().capture(call, warm_up)

    field = [rival("library", transforms.formula, captures=False), *gpu.chosen("copy", MINE)]
    times = gpu.compare(report, "what", field, SETTING, Captures())
    assert times.keys() == {"library", "copy", MINE}
    assert len(captured) == 2
    assert [c.name for c in contestants.CONTESTANTS if not c.captures] == ["CuPy"]


def test_the_faster_copy_is_the_roofline(
    report: Report, device: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {MINE: 3.0, "copy": 2.0, "copy by a kernel": 1.0, "fftn": 9.0}
    times = {name: Timing((s, s)) for name, s in seconds.items()}
    monkeypatch.setattr(gpu, "compare", lambda *args: times)
    gpu.forward(report, "what", Setting(gpu.BASE, torch.bfloat16), device)
    (result,) = [r for r in report.content["targets"] if r["target"] == gpu.ROOFLINE.name]
    assert (result["against"], result["measured"]) == ("copy by a kernel", 3.0)


def test_parts_add_to_one_file(device: Host, tmp_path: Path) -> None:
    path = tmp_path / "rehearsal.json"
    first = Report(device, path, 600.0, gpu.TARGETS)
    first.part("memory, 2x16x64 bf16", lambda: note(first, "memory, 2x16x64 bf16", 0.7))
    second = Report(device, path, 600.0, gpu.TARGETS, resume=True)
    second.part("memory, 2x16x64 fp32", lambda: note(second, "memory, 2x16x64 fp32", 0.2))
    third = Report(device, path, 600.0, gpu.TARGETS, resume=True)
    third.part("memory, 2x16x64 bf16", lambda: note(third, "memory, 2x16x64 bf16", 0.3))
    found = json.loads(path.read_text())
    assert {v["where"]: v["measured"] for v in found["targets"]} == {
        "memory, 2x16x64 fp32": 0.2,
        "memory, 2x16x64 bf16": 0.3,
    }
    assert found["memory"].keys() == {"memory, 2x16x64 bf16", "memory, 2x16x64 fp32"}
    assert not found["not_run"]


def test_the_file_names_a_part_that_killed_its_process(device: Host, tmp_path: Path) -> None:
    path = tmp_path / "rehearsal.json"
    report = Report(device, path, 600.0)

    def dies() -> None:
        raise KeyboardInterrupt  # not caught, like an abort

    with pytest.raises(KeyboardInterrupt):
        report.part("what", dies)
    assert json.loads(path.read_text())["not_run"] == {"what": "began and did not end"}
    again = Report(device, path, 600.0, resume=True)
    again.part("what", lambda: again.times("what", {MINE: Timing((1.0,))}, MINE))
    assert json.loads(path.read_text())["not_run"] == {}


def test_no_time_at_all_runs_nothing(device: Host, tmp_path: Path) -> None:
    report = Report(device, tmp_path / "rehearsal.json", 0.0)
    report.part("what", lambda: pytest.fail("it ran"))
    assert report.content["not_run"] == {"what": "no time left"}


def test_only_figures_of_one_device_merge(device: Host, tmp_path: Path) -> None:
    files = []
    for number, dtype in enumerate(("bf16", "fp32")):
        (tmp_path / str(number)).mkdir()
        files.append(tmp_path / str(number) / "rehearsal.json")
        one = Report(device, files[-1], 600.0)
        one.part(dtype, lambda one=one, dtype=dtype: note(one, dtype, 0.5))
    found = json.loads(merge(files, tmp_path).read_text())
    assert found["memory"].keys() == {"bf16", "fp32"}
    none = files[1].with_name("none.json")
    none.write_text("{}")
    with pytest.raises(ValueError, match="has no 'machine': expected a result of this program"):
        merge([files[0], none], tmp_path)
    other = json.loads(files[1].read_text())
    other["machine"]["torch"] = "1.0"
    files[1].write_text(json.dumps(other))
    with pytest.raises(ValueError, match=r"different machines: torch is .* and 1\.0"):
        merge(files, tmp_path)


@pytest.mark.parametrize("text", [None, "no JSON"])
def test_files_that_do_not_merge_are_one_line(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.json"
    if text:
        file.write_text(text)
    assert gpu.main(["--merge", str(file), "--out", str(tmp_path / "new")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench.gpu: error: --merge: ")


def test_merging_makes_the_folder(device: Host, tmp_path: Path) -> None:
    one = Report(device, tmp_path / "rehearsal.json", 600.0)
    one.write()
    assert gpu.main(["--merge", str(one.path), "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "rehearsal.json").exists()


def test_a_rehearsal_leaves_the_results_alone(
    device: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*args: Any) -> None:
        pass

    monkeypatch.setattr(gpu, "run", nothing)
    monkeypatch.setattr(gpu_models, "measure", nothing)
    monkeypatch.setattr(torch.compiler, "set_stance", nothing)
    monkeypatch.setattr(folders, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(folders, "SCRATCH", tmp_path / "scratch")
    gpu.main(["--rehearse"])
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    (tmp_path / "scratch" / "rehearsal.json").unlink()
    gpu_models.main(["inference eager", "--rehearse"])
    assert (tmp_path / "scratch" / "rehearsal.json").exists()
    assert not (tmp_path / "results").exists()


def test_every_input_of_a_ring_is_used(device: Host) -> None:
    problem = gpu.ring(SETTING, device)
    assert len(problem.xs) == 4 * device.l2_bytes // problem.x.nbytes == 2
    seen: list[int] = []

    def spy(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        seen.append(x.data_ptr())
        return x * weight

    call = gpu.around(problem, spy, backward=False)
    results = call()
    assert seen == [x.data_ptr() for x in problem.xs]
    assert len({y.data_ptr() for y in results}) == 2
    grads = gpu.around(problem, spy, backward=True)()
    assert [g.shape for g in grads] == 2 * [(2, 16, 64), (64,)], (
        "no gradient for bias, which is ignored"
    )


@pytest.mark.parametrize(
    ("left", "missing"),
    [(0.6, set()), (0.4, {"fold compiled"}), (-0.1, {"fold compiled", "fftn compiled"})],
)
def test_rivals_are_compiled_only_with_time_left(
    left: float, missing: set[str], report: Report, device: Host
) -> None:
    report.end += report.seconds * (left - 1)
    field = gpu.chosen("fold compiled", "fftn compiled", "fold", "copy", MINE)
    with torch.compiler.set_stance("force_eager"):
        times = gpu.compare(report, "what", field, SETTING, device)
    assert report.content["absent"].get("what", {}).keys() == missing
    assert times.keys() == {c.name for c in field} - missing


@pytest.mark.parametrize(
    ("shape", "measured"),
    [
        (gpu.BASE, {gpu.FORMULA.name: 12.0, gpu.ROOFLINE.name: 2.0, gpu.ATTENTION[512].name: 6.0}),
        (gpu.LONG, {gpu.ATTENTION[4096].name: 6.0}),
        (gpu.SHAPES[2], {}),
    ],
)
def test_targets_use_their_shapes_and_the_fastest_attention(
    shape: tuple[int, int, int],
    measured: dict[str, float],
    report: Report,
    device: Host,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = {MINE: 2.0, "copy": 1.0, "fftn": 24.0, "linear attention": 1.0}
    seconds |= {"self-attention": 14.0, "self-attention, cuDNN": 12.0}
    times = {name: Timing((s, s)) for name, s in seconds.items()}
    monkeypatch.setattr(gpu, "compare", lambda *args: times)
    monkeypatch.setattr(device, "rehearsal", False)
    for dtype in (torch.bfloat16, torch.float32):
        gpu.forward(report, str(dtype), Setting(shape, dtype), device)
    results = report.content["targets"]
    assert {result["target"]: result["measured"] for result in results} == measured
    keys = {"target", "where", "against", "limit", "measured", "q1", "q3", "met"}
    assert all(result.keys() == keys for result in results)
    assert all(result["where"].endswith(" bf16") for result in results)
    assert all(
        r["against"] == "self-attention, cuDNN" for r in results if "attention" in r["target"]
    )
    assert len(report.unmeasured) == len(gpu.TARGETS) - len(measured)
    assert report.all_met is (not measured), "each shape misses a target"
    summary = report.summary()
    assert all(f"not measured: {name}" in summary for name in report.unmeasured)
    assert summary.count("MISSED") == sum(not result["met"] for result in results)
    of_copy = report.content["times"]["torch.float32"]["fftn"]["of_copy"]
    assert of_copy == pytest.approx(1 / 24)
