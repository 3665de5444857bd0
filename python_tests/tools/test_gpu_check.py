"""`make gpu-check` as far as it goes without a GPU: a rehearsal on the CPU, and its own logic."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.contestants.registry import LAYERS, best_of_ours
from bench.gpu import command as gpu
from python_tests.helpers.paths import ROOT
from tools import gpu_check


def test_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "tools/gpu_check.py", "--rehearse"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "a rehearsal: its figures mean nothing" in done.stdout
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["rehearsal"]
    assert [step.name for step in gpu_check.STEPS] == list(found["steps"])
    assert {result["verdict"] for result in found["steps"].values()} == {"pass"}
    assert "passed" in (tmp_path / "tests.log").read_text()
    figures = json.loads((tmp_path / "rehearsal.json").read_text())
    assert {bar["bar"] for bar in figures["bars"]} == {bar.name for bar in gpu.PROMISES}
    assert not figures["not_run"]
    for dtype in ("bf16", "fp32"):
        what = f"forward, 2x16x64 {dtype}"
        ran, absent = figures["times"][what].keys(), figures["absent"][what]
        assert ran | absent.keys() == {best_of_ours("cpu"), *gpu.RIVALS}
        assert set(absent.values()) == {"does not run on cpu"}
        assert not ran & absent.keys()
    assert figures["times"]["encoder layer, 2x16x64 bf16"].keys() == {c.name for c in LAYERS}


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    monkeypatch.setattr(gpu_check, "TREE", tmp_path / "tree")
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    (tmp_path / "tree").mkdir()
    return tmp_path


def test_a_failed_step_does_not_stop_the_others(
    somewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(check: gpu_check.Check, limit: float) -> tuple[str, str]:
        raise OSError("no such thing")

    steps = [
        gpu_check.Step("build", 0, lambda check, limit: ("pass", "")),
        gpu_check.Step("tests", 0, raises),
        gpu_check.Step("slow", 0, lambda check, limit: check.python("slow", "-c", SLEEP, limit=1)),
        gpu_check.Step("wrong", 0, lambda check, limit: check.python("wrong", "-c", "x", limit=9)),
        gpu_check.Step("bench", 0, lambda check, limit: ("pass", "")),
    ]
    monkeypatch.setattr(gpu_check, "STEPS", steps)
    assert gpu_check.main() == 1
    found = json.loads((somewhere / "out" / "summary.json").read_text())["steps"]
    verdicts = [result["verdict"] for result in found.values()]
    assert verdicts == ["pass", "FAIL", "FAIL", "FAIL", "pass"]
    assert found["tests"]["remark"] == "OSError: no such thing"
    assert found["slow"]["remark"] == "stopped after 1 s"
    assert found["slow"]["seconds"] < 20
    assert found["wrong"]["remark"] == "exit status 1"
    assert "NameError" in capsys.readouterr().out


SLEEP = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
)


def test_steps_are_chosen_and_some_run_together(
    somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    both = threading.Barrier(2, timeout=20)

    def step(name: str, **options: bool) -> gpu_check.Step:
        def run(check: gpu_check.Check, limit: float) -> tuple[str, str]:
            ran.append(name)
            if name in ("tests", "memcheck") and len(sys.argv) == 1:
                both.wait()  # each waits for the other
            return "pass", ""

        return gpu_check.Step(name, 1, run, **options)

    steps = [step("build"), step("tests"), step("memcheck", beside=True), step("bench")]
    monkeypatch.setattr(gpu_check, "STEPS", steps)
    assert gpu_check.main() == 0
    assert set(ran) == {"build", "tests", "memcheck", "bench"}
    assert (ran[0], ran[-1]) == ("build", "bench")
    for options, expected in (
        (["--only", "bench"], ["build", "bench"]),
        (["--skip", "tests", "memcheck"], ["build", "bench"]),
        (["--only", "memcheck", "--skip", "build"], ["memcheck"]),
    ):
        ran.clear()
        monkeypatch.setattr(sys, "argv", ["gpu_check.py", *options])
        assert gpu_check.main() == 0
        assert ran == expected


def test_without_a_build_nothing_runs(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [
        gpu_check.Step("build", 0, lambda check, limit: ("FAIL", "")),
        gpu_check.Step("tests", 0, lambda check, limit: ("pass", "")),
    ]
    monkeypatch.setattr(gpu_check, "STEPS", steps)
    assert gpu_check.main() == 1
    found = json.loads((somewhere / "out" / "summary.json").read_text())["steps"]
    assert found["tests"]["remark"] == "not run: there is no build"


def test_the_copy_follows_the_tree_and_keeps_times(
    somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, tree = somewhere / "root", somewhere / "tree"
    for name in ("setup.py", "pyproject.toml", "csrc/a.cpp", "csrc/b.cpp", "x/_C.so", "build/o"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    monkeypatch.setattr(gpu_check, "ROOT", root)
    gpu_check.update_tree()
    copied = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert copied == {"setup.py", "csrc/a.cpp", "csrc/b.cpp"}
    before = (tree / "csrc/a.cpp").stat().st_mtime_ns
    (root / "csrc/a.cpp").touch()
    (root / "csrc/b.cpp").unlink()
    (root / "setup.py").write_text("other")
    gpu_check.update_tree()
    assert (tree / "csrc/a.cpp").stat().st_mtime_ns == before
    assert not (tree / "csrc/b.cpp").exists()
    assert (tree / "setup.py").read_text() == "other"


def test_compute_sanitizer_is_found_or_said_to_be_absent(
    somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = somewhere / "cuda"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "compute-sanitizer").write_text('#!/bin/sh\necho "$@"\nexit 9\n')
    step = next(step for step in gpu_check.STEPS if step.name == "memcheck")
    check = gpu_check.Check(rehearse=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(home))
    if not Path("/usr/local/cuda/bin/compute-sanitizer").exists():
        verdict, remark = step.run(check, 9.0)  # found, but not executable: not to be used
        assert verdict == "absent"
        assert "compute-sanitizer" in remark
    (home / "bin" / "compute-sanitizer").chmod(0o755)
    assert step.run(check, 9.0) == ("FAIL", "exit status 9")
    initcheck = next(step for step in gpu_check.STEPS if step.name == "initcheck")
    # The control is found, which is right, and so is something where nothing should be.
    assert initcheck.run(check, 9.0) == ("FAIL", "exit status 9")
    (home / "bin" / "compute-sanitizer").write_text("#!/bin/sh\nexit 0\n")
    assert initcheck.run(check, 9.0) == ("FAIL", "an unwritten x was not found: exit status 0")
    wise = '#!/bin/sh\ncase "$*" in *--control) exit 9;; esac\n'
    (home / "bin" / "compute-sanitizer").write_text(wise)
    assert initcheck.run(check, 9.0) == ("pass", "")
    said = (somewhere / "out" / "memcheck.log").read_text()
    assert "--tool memcheck --error-exitcode 9" in said
    assert "PYTORCH_NO_CUDA_MEMORY_CACHING" not in check.environment
