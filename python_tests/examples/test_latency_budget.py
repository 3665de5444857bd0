"""The latency budget chooses the largest FNet that fits, and trains it beside the Transformer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples import classify
from examples.corpora.dataset import Split
from examples.corpora.load import load
from examples.latency_budget import __main__ as command
from examples.latency_budget.latency import Times, forward, largest, peak_mib, promising
from examples.latency_budget.result import command as shown
from examples.latency_budget.result import with_kept
from examples.latency_budget.sizes import EQUAL, TRANSFORMER, Size, candidates
from examples.latency_budget.training import Plan
from examples.studies.runs import Run
from fnet_kernels._timing import Timing
from python_tests.helpers.classify_runs import losses

SIZES = candidates([2, 4], [32, 64])


def names(sizes: Sequence[Size]) -> list[tuple[int, int]]:
    return [(size.layers, size.hidden) for size in sizes]


def test_candidates_are_sorted_by_the_parameters_of_their_layers() -> None:
    assert names(SIZES) == [(4, 64), (2, 64), (4, 32), (2, 32)]
    layers = SIZES[0].build(seq=8).fnet.encoder.parameters()
    assert SIZES[0].weight() == sum(p.numel() for p in layers)


def test_the_models_are_those_that_are_trained() -> None:
    """The options of examples.classify make the model that is timed."""
    from examples.classify import ClassifyOptions
    from examples.training.encode import Bytes
    from examples.training.model import configuration
    from examples.training.options import parse

    for size in (TRANSFORMER, EQUAL, SIZES[0]):
        words = f"--data licences --units bytes --seq 16 {size.options()}".split()
        trained = configuration(parse(ClassifyOptions, "", words)[0], Bytes.vocabulary, labels=3)
        assert trained == size.build(seq=16).config
    assert TRANSFORMER.build(8).config.layer_mixers() == ["attention"] * 2


def test_a_call_is_a_forward_pass_without_autograd() -> None:
    logits = forward(EQUAL, 3, 16)()
    assert logits.shape == (3, 3)
    assert logits.is_inference()
    assert logits.isfinite().all()
    assert logits.abs().max() > 0


def test_what_is_hopeless_is_not_looked_at_deeper() -> None:
    cost = {(2, 32): 1.0, (4, 32): 1.2, (2, 64): 2.0}  # (4, 64) would raise KeyError
    near = promising(SIZES, lambda size: cost[size.layers, size.hidden])
    assert names(near) == [(4, 32), (2, 32)]


def timer(costs: dict[tuple[int, int], tuple[float, float]]) -> Callable[[Sequence[Size]], Times]:
    """Times at batch 1 and 32; the Transformer takes 1 and 10."""

    def time(sizes: Sequence[Size]) -> Times:
        assert list(sizes[:2]) == [TRANSFORMER, EQUAL]
        found = {
            size: (1.0, 10.0) if size == TRANSFORMER else costs[size.layers, size.hidden]
            for size in sizes
        }
        return {
            size: {1: Timing((one, one)), 32: Timing((many, many))}
            for size, (one, many) in found.items()
        }

    return time


def test_the_largest_fits_at_every_batch_size() -> None:
    costs = {(4, 64): (1.1, 9.0), (2, 64): (0.9, 10.1), (4, 32): (1.0, 10.0), (2, 32): (0.1, 1.0)}
    found, times = largest(SIZES, timer(costs))
    assert found is not None
    assert names([found]) == [(4, 32)]
    assert times[found][32].median == 10.0


def test_more_sizes_are_timed_until_one_fits() -> None:
    sizes = candidates([2, 4, 6], [32, 64])
    slow = dict.fromkeys(names(sizes), (2.0, 20.0)) | {(2, 32): (0.5, 5.0)}
    found, _ = largest(sizes, timer(slow))
    assert found == sizes[-1]
    none, times = largest(sizes[:-1], timer(slow))
    assert none is None
    assert times[TRANSFORMER][1].median == 1.0


def test_peak_memory_grows_with_the_batch() -> None:
    small, big = (peak_mib(EQUAL, batch, 256, 1, "cpu") for batch in (1, 32))
    if small is None or big is None:
        pytest.skip("the system does not tell peak memory")
    assert 0 <= small < big
    tensor = 32 * 256 * EQUAL.hidden * 4 / 2**20
    assert tensor < big < 40 * tensor


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan((TRANSFORMER, EQUAL), 512, "licences", 17, 32, (0, 1, 2), tmp_path)


def test_a_folder_may_have_a_space(tmp_path: Path) -> None:
    plan = Plan((TRANSFORMER, EQUAL), 512, "my texts", 17, 32, (0,), tmp_path)
    arguments = plan.equal_time()[0].cell.arguments()
    assert arguments[arguments.index("--data") + 1] == "my texts"


def finish(runs: Sequence[Run], steps: Sequence[int], accuracies: Sequence[float]) -> None:
    """Write the logs of finished runs."""
    for run, step, accuracy in zip(runs, steps, accuracies, strict=True):
        run.folder.mkdir(parents=True)
        run.facts_file.write_text(json.dumps({"arguments": run.cell.arguments()}))
        header = {"kind": "header", "floors": {"majority": 0.45}, "clock": "processor"}
        test = {"kind": "test", "step": step, "accuracy": accuracy, "seconds": 60.0}
        records = [header, test]
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (run.folder / "log.jsonl").write_text(lines)


def test_equal_steps_are_those_of_the_transformer(plan: Plan) -> None:
    time = plan.equal_time()
    theirs = [run for run in time if "attention" in run.cell.variant.name]
    ours = [run for run in time if "fourier" in run.cell.variant.name]
    assert (len(theirs), len(ours)) == (3, 3)
    assert all("--minutes 17" in " ".join(run.cell.arguments()) for run in time)
    assert plan.majority() is plan.clock() is None
    finish(ours, (900, 900, 900), (0.6, 0.7, 0.8))
    assert plan.majority() == 0.45
    assert plan.clock() == "processor"
    assert plan.equal_steps() == []
    finish(theirs[:2], (100, 140), (0.5, 0.55))
    first = plan.equal_steps()
    assert [(run.cell.variant.name, run.cell.seed) for run in first] == [
        ("fourier-2x64", 0),
        ("fourier-2x64", 1),
    ]
    finish(theirs[2:], (110,), (0.52,))
    assert plan.steps() == {0: 100, 1: 140, 2: 110}
    runs = plan.equal_steps()
    assert [run.cell.arguments() for run in runs[:2]] == [run.cell.arguments() for run in first]
    for run, steps in zip(runs, (100, 140, 110), strict=True):
        assert f"--steps {steps}" in " ".join(run.cell.arguments())
    finish(runs[:1], (100,), (0.65,))
    fnet, transformer = plan.figures(EQUAL), plan.figures(TRANSFORMER)
    assert fnet["accuracy"] == {"time": [0.6, 0.7, 0.8], "steps": [0.65]}
    assert fnet["seconds"] == {"time": [60.0] * 3, "steps": [60.0]}
    assert transformer["accuracy"] == {"time": [0.5, 0.55, 0.52], "steps": [0.5, 0.55, 0.52]}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two classes of texts with other letters."""
    chance = random.Random(0)
    folder = tmp_path / "corpus"
    for label, letters in (("left", "abcd"), ("right", "wxyz")):
        (folder / label).mkdir(parents=True)
        for number in range(60):
            text = "".join(chance.choices(letters, k=12))
            (folder / label / f"{number}.txt").write_text(text)
    return folder


class Ended:
    """A process that has ended without an error."""

    returncode = 0

    def poll(self) -> int:
        return self.returncode


def train(run: Run, machine: dict[str, Any], threads: int, device: str) -> Ended:
    """Do the run as `Run.start` does, but in this process, which has imported torch."""
    run.folder.mkdir(parents=True)
    run.facts_file.write_text(json.dumps({"arguments": run.cell.arguments(), **machine}))
    _, program, *options = run.cell.arguments()
    assert program == "examples.classify"
    where = ["--threads", str(threads), "--device", device, "--out", str(run.folder)]
    classify.main([*options, *where, "--resume"])
    return Ended()


@pytest.mark.usefixtures("threads_restored")
def test_the_study_runs_and_writes_what_it_found(
    tmp_path: Path,
    corpus: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "peak_mib", lambda *_: 1.5)  # slow, and tested above
    monkeypatch.setattr(Run, "start", train)
    words = ["--lengths", "16", "--batches", "1,2", "--depths", "2", "--widths", "64"]
    words += ["--seconds", "0", "--data", str(corpus), "--minutes", "0.02", "--batch", "8"]
    words += ["--seeds", "0", "--out", str(tmp_path / "out"), "--jobs", "2"]
    assert command.main(words) == 0
    file = tmp_path / "out" / "results" / "latency-budget.json"
    result = json.loads(file.read_text())
    assert str(tmp_path / "out") not in file.read_text()
    (part,) = result["lengths"]
    assert [model["name"] for model in part["models"]] == ["Transformer", "FNet of equal shape"]
    for model in part["models"]:
        assert model["parameters"] > 50_000
        assert all(len(model["latency"][batch]) == 3 for batch in ("1", "2"))
        assert all(0 <= a <= 1 for of in model["accuracy"].values() for a in of)
        assert {regime: len(of) for regime, of in model["accuracy"].items()} == {
            "time": 1,
            "steps": 1,
        }
    for of in part["bag_of_tokens"]["accuracy"].values():
        assert len(of) == 1
    assert min(part["bag_of_tokens"]["seconds"]["time"]) >= 1.2
    assert 0 < part["majority"] < 1
    (steps,) = part["steps"]
    assert steps > 1
    for run in (tmp_path / "out").glob("latency-budget-16-time/*"):
        first, *_, last = losses(run)
        assert last < first, run
    assert len(part["data"]["sha256"]) == 64
    said = capsys.readouterr().out
    assert "Pareto front at equal time: " in said
    (tmp_path / "file").touch()
    assert command.main([*words, "--out", str(tmp_path / "file")]) == 2
    assert "--out: cannot write to" in capsys.readouterr().err
    assert "Too few seeds to compare." in said
    assert command.main([*words, "--no-training"]) == 0
    (again,) = json.loads(file.read_text())["lengths"]
    for told in ("command", "date"):  # of the call
        del again[told], part[told]
    assert again == part, "what was measured is read again"
    other = r"latency-budget-16\.json was measured with other"
    with pytest.raises(SystemExit, match=other):
        command.main([*words, "--widths", "32"])
    monkeypatch.setattr(command, "device_name", lambda _: "another processor")
    with pytest.raises(SystemExit, match=other):
        command.main(words)


def test_a_kept_result_keeps_the_lengths_of_other_calls(tmp_path: Path) -> None:
    path = tmp_path / "latency-budget.json"

    def part(seq: int, *accuracies: float) -> dict[str, Any]:
        model = {"accuracy": {"time": list(accuracies), "steps": list(accuracies)}}
        return {"seq": seq, "seeds": [0, 1], "models": [model], "bag_of_tokens": model}

    first = [part(512, 0.5, 0.6), part(4096, 0.7, 0.8)]
    assert with_kept(path, first) == first
    path.write_text(json.dumps({"lengths": first}))
    new = [part(4096, 0.6, 0.7), part(2048, 0.8)]
    assert with_kept(path, new) == [first[0], new[1], new[0]]
    incomplete = [part(512), part(4096, 0.9)]
    assert with_kept(path, incomplete) == first


def test_the_shown_command_names_no_folder() -> None:
    words = ["--lengths", "512", "--out", "/somewhere", "--keep", "--jobs", "2", "--out=/other"]
    assert shown(words) == "python -m examples.latency_budget --lengths 512 --jobs 2"
    assert shown(["--data", "my texts"]).endswith("--data 'my texts'")
    with pytest.raises(SystemExit):
        command.parser().parse_args(["--ou", "/somewhere"])  # would be shown


def test_quick_is_small() -> None:
    made = command.parser()
    made.set_defaults(**command._QUICK)
    assert made.parse_args([]).lengths == [512]
    assert made.parse_args(["--lengths", "64,128"]).lengths == [64, 128]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lengths", "512,x"], "'x': expected a positive integer"),
        (["--batches", "0"], "'0': expected a positive integer"),
        (["--threads", "0"], "'0': expected a positive integer"),
        (["--seconds", "nan"], "'nan': expected a finite number"),
        (["--seeds", "0,-1"], "'0,-1': expected numbers with commas"),
    ],
)
def test_a_wrong_number_is_told(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.parser().parse_args(words)
    assert message in capsys.readouterr().err


def test_an_unknown_device_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"--device must be cpu, cuda or cuda:N; got 'foo'"):
        command.main(["--quick", "--device", "foo", "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({"vocabulary": 17}, "texts"),
        ({"metrics": ("matthews",)}, "accuracy as a metric"),
        ({"test": Split((), ())}, "test examples"),
    ],
)
def test_data_that_cannot_be_judged_is_refused_before_training(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], lacks: str
) -> None:
    command.check_data(str(corpus))
    monkeypatch.setattr(command, "load", lambda name: replace(load(name), **change))
    with pytest.raises(SystemExit, match=rf"--data must have {lacks}; \S* has none"):
        command.check_data(str(corpus))
