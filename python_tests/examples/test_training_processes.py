"""Trainings of two processes, which end with no thread of gloo."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples import classify
from examples.training import encode, log
from python_tests.helpers.classify_runs import losses, words
from python_tests.helpers.paths import ROOT

pytestmark = pytest.mark.usefixtures("threads_restored")

# A process with a thread of gloo left at its end sometimes hangs or aborts.
PROGRAM = """
import signal
from pathlib import Path

from examples.training import distributed
from examples.{name} import main

def threads():
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    return sum("gloo" in name for name in names)

agree = distributed.agree

def observed(asked, seconds):
    assert threads(), "gloo's threads have another name"
    if {stop} and not asked:
        signal.raise_signal(signal.SIGINT)
    return agree(asked, seconds)

distributed.agree = observed
try:
    main()
finally:
    assert not threads()
"""


def in_two_processes(
    name: str, words: list[str], folder: Path, stop: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a program of examples under torchrun; with `stop`, Ctrl-C comes after the first step."""
    script = folder / "program.py"
    script.write_text(PROGRAM.format(name=name, stop=stop))
    torchrun = "-m torch.distributed.run --nproc-per-node 2 --standalone"
    command = [sys.executable, *torchrun.split(), str(script), *words]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def test_two_processes_are_one_of_twice_the_batch(texts: Path, tmp_path: Path) -> None:
    """Mean pooling and pieces of words; dropout differs between processes, so none."""
    pytest.importorskip("tokenizers")
    more = "--steps 20 --dropout 0 --padding exact --units unigram --vocabulary 40"
    two, one = tmp_path / "two", tmp_path / "one"
    child = in_two_processes("classify", [*words(texts, two, more), "--batch", "8"], tmp_path)
    assert child.returncode == 0, child.stderr
    one.mkdir()
    shutil.copy(two / encode.FILE, one)  # each process learns another one
    found = classify.main([*words(texts, one, more), "--resume"])
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    last = log.records(two)[-1]
    assert last["accuracy"] == found["accuracy"]
    assert last["loss"] == pytest.approx(found["loss"], rel=1e-5)
    assert log.records(two)[0]["processes"] == 2


@pytest.mark.parametrize("name", ["classify", "finetune_trainer"])
def test_two_processes_stop(texts: Path, tmp_path: Path, name: str) -> None:
    """What the stopped call held goes before the group of the processes."""
    if name == "finetune_trainer":
        pytest.importorskip("transformers")
        pytest.importorskip("accelerate")
    run = tmp_path / "run"
    child = in_two_processes(
        name, words(texts, run, "--steps 20 --device cpu"), tmp_path, stop=True
    )
    assert child.returncode != 0
    assert f"{name}: stopped; step 2 is saved" in child.stderr, child.stderr
    assert "AssertionError" not in child.stderr


def test_two_processes_of_the_trainer_report_the_mean(texts: Path, tmp_path: Path) -> None:
    """The Trainer multiplies the loss by their number if a model divides it, as FNet does not."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    run = tmp_path / "run"
    few = words(texts, run, "--steps 2 --lr 0 --dropout 0 --device cpu")
    child = in_two_processes("finetune_trainer", few, tmp_path)
    assert child.returncode == 0, child.stderr
    losses = [one["loss"] for one in log.records(run) if one["kind"] == "step"]
    assert losses == pytest.approx(2 * [math.log(2)], rel=0.3)
    assert log.records(run)[-1]["loss"] == pytest.approx(math.log(2), rel=0.3)
