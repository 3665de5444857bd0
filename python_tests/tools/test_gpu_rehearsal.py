"""`make gpu-check` without a GPU: rehearsals on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from typing import Any

import pytest

from bench.contestants.registry import LAYERS, best_of_ours
from bench.gpu import command as gpu
from python_tests.helpers.paths import ROOT
from tools import gpu_steps
from tools.gpu_step import ABSENT, PASS

#: Failures by step/part: a crash, a hang and a flood of output.
INJECTED = {"smoke/general": "crash", "test/forward": "hang", "profile/32x512x768": "flood"}


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A full rehearsal with the three failures. The hang is stopped after three seconds."""
    out = tmp_path_factory.mktemp("rehearsal")
    injected = [f"{place}={failure}" for place, failure in INJECTED.items()]
    options = ["--rehearse", "--hang-limit", "3", "--seconds", "1200"]
    done = subprocess.run(
        [sys.executable, "-m", "tools.gpu_check", *options, "--inject", *injected],
        cwd=ROOT,
        env={**os.environ, "OUT": str(out)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, json.loads((out / "summary.json").read_text()), out


def test_failures_do_not_affect_other_parts(rehearsed: Any) -> None:
    done, found, out = rehearsed
    assert done.returncode == 1
    results = {f"{r['step']}/{r['part']}": r for r in found["results"]}
    failed = {place for place, r in results.items() if r["verdict"] not in (PASS, ABSENT)}
    assert failed == {"smoke/general", "test/forward"}, "a flood of output is no failure"
    assert results["smoke/general"]["remark"] == "exit status -6"
    assert results["test/forward"]["remark"] == "stopped after 3 s"
    assert results["test/forward"]["status"] is None
    steps = {step.name for step in gpu_steps.STEPS}
    assert {r["step"] for r in found["results"]} == steps - {"shapes"}, "bench rehearses it"
    assert "about to crash" in done.stdout, "the end of a failure's log is shown"
    with tarfile.open(out / "logs.tar.gz") as tar:
        sizes = {member.name: member.size for member in tar.getmembers()}
    assert len(sizes) == len(results) - sum(r["verdict"] == ABSENT for r in results.values())
    assert 400_000 < sizes["profile-32x512x768.log"] < 600_000, "the start and the end of the flood"


def test_the_output_is_small(rehearsed: Any) -> None:
    done, _, out = rehearsed
    assert len([path for path in out.rglob("*") if path.is_file()]) <= 8
    heading = "== summary of a rehearsal: its figures mean nothing"
    assert len(done.stdout.split(heading)[1]) < 12_000
    assert all(path.stat().st_size < 16 << 20 for path in out.iterdir())


def test_the_rehearsal_measures_everything(rehearsed: Any) -> None:
    _, _, out = rehearsed
    figures = json.loads((out / "rehearsal.json").read_text())
    assert {r["target"] for r in figures["targets"]} == {target.name for target in gpu.TARGETS}
    assert len(figures["targets"]) == len({(r["target"], r["where"]) for r in figures["targets"]})
    assert not figures["not_run"]
    for dtype in ("bf16", "fp32"):
        what = f"forward, 2x16x64 {dtype}"
        ran, absent = figures["times"][what].keys(), figures["absent"][what]
        assert ran | absent.keys() == {best_of_ours("cpu"), *gpu.RIVALS}
        assert set(absent.values()) == {"does not run on cpu"}
        assert not ran & absent.keys()
    assert figures["times"]["encoder layer, 2x16x64 bf16"].keys() == {c.name for c in LAYERS}
    if importlib.util.find_spec("transformers"):
        assert len(figures["models"]) == len(gpu_steps.MODEL_PARTS)
        for name, models in figures["models"].items():
            found = {(row["model"], row["dtype"]) for row in models}
            wanted = {("BERT", "bfloat16"), ("FNet", "float32"), ("FNet patched", "bfloat16")}
            assert wanted <= found, name
    variants = json.loads((out / "rehearsal-variants.json").read_text())
    assert variants["variants"].keys() == {"as built"}


def test_the_smoke_test_says_what_it_checks(rehearsed: Any) -> None:
    _, _, out = rehearsed
    with tarfile.open(out / "logs.tar.gz") as tar:
        file = tar.extractfile("smoke-forward.log")
        assert file is not None
        log = file.read().decode()
    for dtype in ("float32", "bfloat16", "float16"):
        assert f"forward 3x16x64 {dtype}: y" in log
    assert log.rstrip().endswith("correct")
