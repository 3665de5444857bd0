"""The command line, in this process or, if the environment matters, in a new one."""

from __future__ import annotations

import io
import platform
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

import fnet_kernels
from fnet_kernels import cli, functional
from fnet_kernels._ops import load
from fnet_kernels.cli.pipes import pipe_may_close
from fnet_kernels.diagnostics import doctor
from python_tests.helpers.forks import Forks

ROOT = Path(fnet_kernels.__file__).parents[1]


def fresh(script: str) -> subprocess.CompletedProcess[str]:
    """Run `script` in a new process that imports the same package."""
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


#: Code that makes importing the module `name` raise `error`.
BLOCK = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise {error}
sys.meta_path.insert(0, Block())
"""
MISSING = """
import pathlib
exists = pathlib.Path.exists
pathlib.Path.exists = lambda path, **options: path.suffix != ".so" and exists(path, **options)
"""
UNLOADABLE = """
import torch
def load_library(path):
    raise OSError("could not load") from OSError("undefined symbol: xyz")
torch.ops.load_library = load_library
"""
NO_TORCH = BLOCK.format(name="torch", error="ModuleNotFoundError('No torch', name='torch')")
BROKEN_TORCH = BLOCK.format(name="torch", error="OSError('libc10.so: cannot open')")
DOCTOR = """
import sys
from fnet_kernels.cli import main
sys.exit(main(["doctor"]))
"""
LIST_OF_DATA = """
import runpy
runpy.run_module("examples.data", run_name="__main__")
"""
LIST_OF_STUDIES = """
import runpy, sys
sys.argv = ["studies", "--list", "--out", os.devnull]
runpy.run_module("examples.studies", run_name="__main__")
"""
CLOSED_PIPE = """
import os, sys
reads, writes = os.pipe()
os.close(reads)
os.dup2(writes, 1)
sys.modules["transformers"] = None  # takes long to import
"""


@pytest.fixture
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor takes half a second instead of three."""
    shapes = {"kernels": ((2, 8, 4), (3, 1, 5)), "general": ((2, 8, 4),)}
    monkeypatch.setitem(doctor.SHAPES, "cpu", shapes)


def test_doctor_on_a_working_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for part in (
        fnet_kernels.__version__,
        torch.__version__,
        f"cpu: {platform.machine()}, kernels for {torch.ops.fnet_kernels.cpu_isas()}; "
        f"in use: {torch.ops.fnet_kernels.cpu_isa()}",
        "kernels path",
        "; 197 (Rader: 4 * 7 * 7); 47 (direct); 167 (Bluestein: ",
        "general path",
        "bfloat16",
        "all checks passed",
    ):
        assert part in out
    assert "BROKEN" not in out


@pytest.mark.parametrize(
    ("block", "named", "fix"),
    [
        (MISSING, "extension of fnet_kernels is not built", "pip install ."),
        (UNLOADABLE, "undefined symbol: xyz", "pip install ."),
        (NO_TORCH, "torch: does not import", "pip install 'torch>=2.11'"),
        (BROKEN_TORCH, "does not import (libc10.so: cannot open", "pip install 'torch>=2.11'"),
    ],
    ids=["missing", "unloadable", "no torch", "broken torch"],
)
def test_doctor_names_the_failure_and_the_fix(
    forks: Forks, block: str, named: str, fix: str
) -> None:
    run = (fresh if block in (NO_TORCH, BROKEN_TORCH) else forks.run)(block + DOCTOR)
    assert run.returncode == 1
    broken, repair, last = run.stdout.splitlines()[-3:]
    assert broken.startswith("[BROKEN]")
    assert named in broken
    assert repair.startswith("     fix: ")
    assert fix in repair
    assert last == "1 broken"
    assert run.stderr == ""


@pytest.mark.usefixtures("few_shapes")
def test_doctor_names_an_unknown_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FNET_CPU_ISA", "avx1024")
    (broken,) = (f for f in doctor.examine() if f.fix)
    assert "FNET_CPU_ISA=avx1024" in broken.detail
    assert "auto" in str(broken.fix)


@pytest.mark.usefixtures("few_shapes")
@pytest.mark.parametrize(
    ("capability", "reason", "says", "fix"),
    [
        ((7, 5), "", "; the CUDA kernels need compute capability 8.0 or newer", None),
        (
            (9, 0),
            "this build has no CUDA kernels",
            "; this build has no CUDA kernels: `FNET_",
            None,
        ),
        ((9, 0), "the CUDA kernels of this build do not load (x)", "do not load (x)", "nvcc"),
        ((9, 0), "", "Card, compute capability 9.0, CUDA None", None),
    ],
)
def test_doctor_describes_the_gpu(
    capability: tuple[int, int],
    reason: str,
    says: str,
    fix: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(load, "CUDA_UNAVAILABLE_REASON", reason)
    devices = ("cpu",) if reason or capability == (9, 0) else ("cpu", "cuda")
    monkeypatch.setattr(load, "DEVICES", devices)
    findings = list(doctor.examine())
    (cuda,) = (finding for finding in findings if finding.name == "cuda")
    assert says in cuda.detail
    assert (fix is None) == (cuda.fix is None)
    assert fix is None or fix in str(cuda.fix)
    assert not [finding for finding in findings if finding.fix and finding is not cuda]


@pytest.mark.parametrize("program", [DOCTOR, LIST_OF_DATA, LIST_OF_STUDIES])
def test_a_closed_pipe_is_not_an_error(forks: Forks, program: str) -> None:
    run = forks.run(CLOSED_PIPE + program)
    assert (run.returncode, run.stderr) == (1, "")


def test_without_a_standard_output_the_doctor_is_silent(forks: Forks) -> None:
    run = forks.run(f"import sys; sys.stdout = None; sys.argv = []\n{DOCTOR}")
    assert (run.returncode, run.stderr) == (0, "")


def test_an_output_that_lacks_a_character_shows_an_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    with pipe_may_close():
        print("ö")
    assert written.getvalue() == b"\\xf6\n"


@pytest.mark.parametrize("use", ["from fnet_kernels import fourier_mix", "fnet_kernels.explain"])
def test_without_the_extension_the_error_names_the_fix(forks: Forks, use: str) -> None:
    run = forks.run(f"{MISSING}import fnet_kernels\n{use}")
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("ImportError: the extension of fnet_kernels is not built; run `pip")
    assert "doctor" in last
    nothing = forks.run(f"{MISSING}import fnet_kernels\nfnet_kernels.nothing")
    assert "AttributeError" in nothing.stderr


@pytest.mark.usefixtures("few_shapes")
def test_doctor_finds_wrong_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = functional.fused_fourier_mix
    monkeypatch.setattr(functional, "fused_fourier_mix", lambda *args: right(*args) * 1.1)
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert out.count("[BROKEN]") == 2
    assert "wrong in float32" in out
    assert out.endswith("2 broken\n")


@pytest.mark.usefixtures("few_shapes")
def test_doctor_rejects_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    right = functional.fused_fourier_mix
    monkeypatch.setattr(functional, "fused_fourier_mix", lambda *args: right(*args) * float("nan"))
    assert [f.name for f in doctor.examine() if f.fix] == ["kernels path", "general path"]


@pytest.mark.usefixtures("few_shapes")
def test_doctor_checks_a_single_token(monkeypatch: pytest.MonkeyPatch) -> None:
    right = functional.fused_fourier_mix
    monkeypatch.setattr(
        functional,
        "fused_fourier_mix",
        lambda x, *args: right(x, *args) * (1.1 if x.shape[-2] == 1 else 1.0),
    )
    broken = [f for f in doctor.examine() if str(f).startswith("[BROKEN]")]
    assert [f.name for f in broken] == ["kernels path"]


def test_commands_are_imported_when_run(monkeypatch: pytest.MonkeyPatch) -> None:
    command = types.ModuleType("fnet_kernels.demo.command")
    seen = []
    command.add_arguments = lambda parser: parser.add_argument("--seq")  # type: ignore[attr-defined]
    command.run = lambda args: seen.append(args.seq) or 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fnet_kernels.demo.command", command)
    assert cli.main(["demo", "--seq", "512"]) == 3
    assert seen == ["512"]


def test_ctrl_c_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = types.ModuleType("fnet_kernels.demo.command")

    def run(_: object) -> int:
        raise KeyboardInterrupt

    command.add_arguments, command.run = lambda _: None, run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fnet_kernels.demo.command", command)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "fnet_kernels demo: interrupted\n"


def test_a_failing_import_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "fnet_kernels.demo.command", None)
    assert cli.main(["demo"]) == 1
    assert "fnet_kernels demo: " in capsys.readouterr().err


def test_bench_names_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--seconds", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "fnet_kernels bench: run `python -m bench` in the repository\n"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in cli.COMMANDS)


@pytest.mark.parametrize("argv", [[], ["nothing"], ["doctor", "extra"]])
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(argv)
    assert end.value.code == 2
    assert "usage: python -m fnet_kernels" in capsys.readouterr().err
