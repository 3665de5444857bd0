"""Studies run what is missing, survive interruptions, and collect what the logs say."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.studies import __main__ as command
from examples.studies import folders, kept, log
from examples.studies.collect import collect, write
from examples.studies.pool import Pool
from examples.studies.runs import ROOT, Run, State
from examples.studies.study import Cell, Study, Variant, interleaved
from python_tests.helpers.full_disk import file_limit

#: A training program without training: its log has the records of a real one. `--slow` waits in
#: the first step until it is interrupted; `--resume` continues from the last step of a log.
PROGRAM = """
import argparse, json, os, sys, time
parser = argparse.ArgumentParser()
for name in ("mixer", "out", "device"):
    parser.add_argument("--" + name)
for name in ("seed", "threads"):
    parser.add_argument("--" + name, type=int)
parser.add_argument("--hash", default="5eed")
for name in ("resume", "slow", "broken"):
    parser.add_argument("--" + name, action="store_true")
args = parser.parse_args()
if args.broken:
    sys.exit("classify: error: no space left")
path = args.out + "/log.jsonl"
data = {"name": "fake", "sha256": args.hash, "classes": 2, "train": 8, "validation": 4, "test": 4}
def write(kind, **record):
    with open(path, "a") as log:
        log.write(json.dumps({"kind": kind, **record}) + "\\n")
go_on = args.resume and os.path.exists(path)
if go_on:
    with open(path) as log:
        done = max([r["step"] for r in map(json.loads, log) if r["kind"] == "step"], default=0)
    write("resumed", step=done)
else:
    done = 0
    write("header", program="classify", command=sys.argv, device=args.device, threads=args.threads,
          parameters=1234, seed=args.seed, data=data, floors={"majority": 0.5},
          versions={"torch": "2"}, clock="processor")
try:
    for step in range(done + 1, 4):
        write("step", step=step, loss=1 / step, tokens=100 * step, seconds=2.0 * step,
              peak_bytes=2**20)
        while args.slow and not go_on:
            time.sleep(0.01)
except KeyboardInterrupt:
    sys.exit(130)
accuracy = {"fourier": 0.75, "none": 0.5}[args.mixer] + args.seed / 100
write("validation", step=3, loss=0.1, accuracy=accuracy - 0.25)
write("test", step=3, accuracy=accuracy, seconds=6.0, tokens=300, peak_bytes=2**20)
"""
FOURIER, NONE = (Variant(name, f"--mixer {name}") for name in ("fourier", "none"))
MACHINE = {"cpu": "a processor", "cpus": 2, "jobs": 2, "started": "2026-01-01T00:00:00+00:00"}


class FakedCell(Cell):
    """A cell whose program is a script."""

    def arguments(self) -> list[str]:
        return [self.study.program, *super().arguments()[2:]]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    return Study("fake", "Is it?", str(program), "", (FOURIER, NONE), 1, 2, seeds=(0, 1))


def runs_of(study: Study, out: Path) -> list[Run]:
    return [Run(FakedCell(cell.study, cell.variant, cell.seed), out) for cell in study.cells()]


def start(run: Run) -> subprocess.Popen[bytes]:
    return run.start(MACHINE, threads=1, device="cpu")


def do(runs: Sequence[Run], **options: Any) -> tuple[bool, list[str]]:
    """Whether all went well, and what the pool told."""
    told: list[str] = []
    done = Pool(start, 2, lambda run, text: told.append(f"{run.cell}: {text}"), **options).run(runs)
    return done, told


def wait_for(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def with_options(study: Study, options: str) -> Study:
    return Study(**{**vars(study), "options": options})


def test_the_most_informative_runs_come_first(study: Study) -> None:
    order = [(cell.variant.name, cell.seed) for cell in study.cells()]
    assert order == [("fourier", 0), ("none", 0), ("fourier", 1), ("none", 1)]
    short = Study("short", "?", "p", "", (FOURIER,), 1, 1, seeds=(5,))
    mixed = [(cell.study.name, cell.seed) for cell in interleaved([study, short])]
    assert mixed == [("fake", 0)] * 2 + [("short", 5)] + [("fake", 1)] * 2


def test_every_run_is_done_once_and_collected(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runs = runs_of(study, out)
    assert {run.state() for run in runs} == {State.ABSENT}
    assert collect(study, runs) == {}
    done, told = do(runs)
    assert done
    assert sorted(told)[0] == "fake: fourier, seed 0: accuracy 0.7500"
    assert {run.state() for run in runs} == {State.FINISHED}

    result = collect(study, runs)
    assert [(r["mixer"], r["seed"], r["accuracy"]) for r in result["runs"]] == [
        ("fourier", 0, 0.75),
        ("none", 0, 0.5),
        ("fourier", 1, 0.76),
        ("none", 1, 0.51),
    ]
    first = result["runs"][0]
    assert first["validation"] == 0.5
    assert (first["steps"], first["seconds"], first["tokens"]) == (3, 6.0, 300)
    assert first["clock"] == "processor"
    assert (first["parameters"], first["peak_mib"], first["resumed"]) == (1234, 1.0, 0)
    assert result["floors"] == {"majority class": [0.5]}
    assert result["seeds"] == [0, 1]
    assert result["machines"] == [{"cpu": "a processor", "cpus": 2, "jobs": 2}]
    assert result["data"]["sha256"] == "5eed"
    assert json.loads(json.dumps(result)) == result


def test_a_result_has_no_path_of_the_machine(tmp_path: Path, study: Study) -> None:
    runs = runs_of(study, tmp_path / "out")
    do(runs)
    named = Study(**{**vars(study), "program": "classify", "options": "--data r8"})
    text = json.dumps(collect(named, runs))
    assert "python -m examples.classify --data r8" in text
    for path in (tmp_path, ROOT, Path.home(), sys.executable):
        assert str(path) not in text


def test_an_interrupted_run_is_continued(study: Study, tmp_path: Path) -> None:
    runs = runs_of(with_options(study, "--slow"), tmp_path / "out")
    begun = lambda: all(run.log().last("step") for run in runs[:2])  # noqa: E731
    stop = threading.Thread(target=lambda: (wait_for(begun), os.kill(os.getpid(), signal.SIGINT)))
    stop.start()
    done, told = do(runs)
    stop.join()
    assert not done
    assert [line.split(": ")[-1] for line in told] == ["stopped; the next call continues it"] * 2
    states = [State.INTERRUPTED] * 2 + [State.ABSENT] * 2
    assert [run.state() for run in runs] == states

    done, _ = do(runs[:2])
    assert done
    assert [run.log().last("resumed")["step"] for run in runs[:2]] == [1, 1]
    steps = [[r["step"] for r in run.log().records if r["kind"] == "step"] for run in runs[:2]]
    assert steps == [[1, 2, 3]] * 2
    assert [r["resumed"] for r in collect(study, runs)["runs"]] == [1, 1]


def test_an_error_in_telling_leaves_no_run_behind(study: Study, tmp_path: Path) -> None:
    """A slow run is stopped, too, when the end of the other one cannot be told."""
    quick, slow = study, with_options(study, "--slow")
    runs = [runs_of(slow, tmp_path / "out")[0], runs_of(quick, tmp_path / "out")[1]]
    children = []

    def noted(run: Run) -> subprocess.Popen[bytes]:
        children.append(start(run))
        if run is runs[1]:
            wait_for(lambda: runs[0].log().last("step"))
        return children[-1]

    def tell(run: Run, text: str) -> None:
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        Pool(noted, 2, tell).run(runs)
    assert [child.poll() is not None for child in children] == [True, True]
    assert runs[0].state() is State.INTERRUPTED


def test_the_time_is_limited(study: Study, tmp_path: Path) -> None:
    runs = runs_of(with_options(study, "--slow"), tmp_path / "out")
    began = time.monotonic()
    done, told = do(runs[:1], seconds=0.5)
    assert not done
    assert len(told) == 1
    assert time.monotonic() - began < 20


def test_a_run_is_done_by_one_process_at_a_time(study: Study, tmp_path: Path) -> None:
    run, *_ = runs_of(with_options(study, "--slow"), tmp_path / "out")
    child = start(run)
    try:
        wait_for(lambda: run.log().last("step"))
        done, told = do([run])
        assert not done
        assert told == ["fake: fourier, seed 0: another process does it"]
    finally:
        child.kill()
        child.wait()
    done, _ = do([run])
    assert done
    assert run.state() is State.FINISHED


def test_a_run_that_another_process_ends_is_done(study: Study, tmp_path: Path) -> None:
    theirs, ours, *_ = runs_of(study, tmp_path / "out")

    def begin(run: Run) -> subprocess.Popen[bytes]:
        child = start(run)
        if run is theirs:
            child.wait()
            raise BlockingIOError
        return child

    told: list[str] = []
    assert Pool(begin, 1, lambda run, text: told.append(text)).run([theirs, ours])
    assert told == ["another process does it", "accuracy 0.5000"]


def test_a_failure_is_told_and_the_others_go_on(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    broken = runs_of(with_options(study, "--broken"), out)[0]
    done, told = do([broken, *runs_of(study, out)[1:]])
    assert not done
    assert len(told) == 4
    assert "fake: fourier, seed 0: failed: classify: error: no space left" in told
    assert broken.state() is State.ABSENT
    assert do(runs_of(study, out)[:1])[0]


def test_a_run_with_other_options_is_refused(study: Study, tmp_path: Path) -> None:
    do(runs_of(study, tmp_path / "out")[:1])
    other, *_ = runs_of(with_options(study, "--hash 0dd"), tmp_path / "out")
    with pytest.raises(ValueError, match=r"a run with other options, .*expected .*0dd"):
        other.state()


def test_runs_on_different_data_are_refused(study: Study, tmp_path: Path) -> None:
    runs = runs_of(study, tmp_path / "out")
    other = runs_of(with_options(study, "--hash 0dd"), tmp_path / "other")
    mixed = [runs[0], other[1]]
    do(mixed)
    with pytest.raises(ValueError, match=r"fake: runs of seed 0 read different data; .*5eed.*0dd"):
        collect(study, mixed)


def test_machines_share_a_study(study: Study, tmp_path: Path) -> None:
    runs, others = runs_of(study, tmp_path / "one"), runs_of(study, tmp_path / "two")
    do([runs[0], runs[3]])
    do(others[:2])
    old, new = collect(study, runs), collect(study, others)
    write(old, tmp_path / "fake.json")
    assert kept.read(study, tmp_path) == old
    assert kept.read(with_options(study, "--slow"), tmp_path) == {}
    assert [kept.has(old, cell) for cell in study.cells()] == [True, False, False, True]

    new["machines"] = [{"cpu": "another", "cpus": 8, "jobs": 1}]
    result = kept.merge(study, old, new)
    assert [(r["mixer"], r["seed"]) for r in result["runs"]] == [
        ("fourier", 0),
        ("none", 0),
        ("none", 1),
    ]
    assert result["machines"] == [*old["machines"], *new["machines"]]
    assert (result["seeds"], result["floors"]) == ([0, 1], {"majority class": [0.5]})
    assert kept.merge(study, old, {}) == old
    assert kept.merge(study, {}, new) == new

    older = {**old, "runs": [{k: v for k, v in run.items() if k != "data"} for run in old["runs"]]}
    write(older, tmp_path / "fake.json")
    assert kept.read(study, tmp_path) == {}, "nobody knows what data it read"

    new["runs"][1]["data"] = "0dd"
    with pytest.raises(ValueError, match=r"runs of seed 0 read different data, 5eed and 0dd"):
        kept.merge(study, old, new)


def test_two_runners_keep_the_results_of_both(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one begins when the first one has read what is kept."""
    do(runs_of(study, tmp_path / "one")[:1])
    do(runs_of(study, tmp_path / "two")[1:2])
    fake = lambda cell, out: Run(FakedCell(cell.study, cell.variant, cell.seed), out)  # noqa: E731
    monkeypatch.setattr(command, "Run", fake)
    monkeypatch.setattr(folders, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(kept, "LOCK", tmp_path / "lock")
    read = kept.read

    def keep(name: str) -> None:
        command.keep([study], options("--keep", "--out", str(tmp_path / name)))

    second = threading.Thread(target=keep, args=["two"])

    def read_and_wait(study: Study, folder: Path) -> dict[str, Any]:
        found = read(study, folder)
        if threading.current_thread() is not second:
            second.start()
            second.join(0.5)  # without a lock it ends at once
        return found

    monkeypatch.setattr(kept, "read", read_and_wait)
    keep("one")
    second.join()
    assert [run["mixer"] for run in read(study, tmp_path / "results")["runs"]] == [
        "fourier",
        "none",
    ]


@pytest.fixture
def half_a_line(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "log.jsonl"
    path.write_text('{"kind": "header"}\n{"kind": "step", "step": 1}\n{"kind": "te')
    return path


def test_half_a_line_at_the_end_is_no_record(half_a_line: Path) -> None:
    found = log.read(half_a_line.parent)
    assert [record["kind"] for record in found.records] == ["header", "step"]
    assert not found.finished


def test_half_a_line_elsewhere_is_refused(half_a_line: Path) -> None:
    half_a_line.write_text(half_a_line.read_text() + '\n{"kind": "test"}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl, line 3: expected a record"):
        log.read(half_a_line.parent)


def test_a_relative_folder_is_that_of_the_caller(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training runs in another folder."""
    monkeypatch.chdir(tmp_path)
    assert Run(study.cells()[0], Path("out")).folder.is_relative_to(tmp_path / "out")


def options(*words: str) -> argparse.Namespace:
    return command.parser().parse_args(words)


def test_an_endless_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options("--minutes", "nan")
    assert "--minutes: must be a number of at least 0, got 'nan'" in capsys.readouterr().err


def test_cells_are_chosen_by_name() -> None:
    cells = command.chosen(options("r8", "--mixers", "none,fourier", "--seeds", "2"))
    assert [str(cell) for cell in cells] == ["r8: fourier, seed 2", "r8: none, seed 2"]
    assert cells[0].arguments()[:4] == ["-m", "examples.classify", "--data", "r8"]
    quick = command.chosen(options("--quick"))
    assert [cell.seed for cell in quick] == sorted(cell.seed for cell in quick)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["r9"], "STUDY: expected one of r8-pairs, .*; got 'r9'"),
        (["r8", "--mixers", "fuorier"], "--mixers: expected one of fourier, .*; got 'fuorier'"),
        (["r8", "--seeds", "0,7"], "--seeds: expected one of 0, 1, 2; got '7'"),
    ],
)
def test_unknown_names_are_told(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        command.chosen(options(*words))


def test_the_list_names_every_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for name, study in command.STUDIES.items():
        assert f"\n{name} " in said
        assert f"0 of {len(study.cells())}" in said
        assert study.minutes > 0
        assert len(study.seeds) >= 3


def test_a_full_disk_is_told_in_one_sentence(study: Study, tmp_path: Path) -> None:
    run, *_ = runs_of(study, tmp_path / "out")
    with file_limit(10), pytest.raises(SystemExit, match=r"^cannot write \S*run\.json: "):
        run.start({"cpu": "a processor"}, 1, "cpu")
