"""Values that no benchmark can use, and folders that cannot be written, end with one error."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import command, cores, lengths, mixers, models, passes, sweep, threads, varlen
from bench.arguments import INTERRUPTED, run_main
from bench.folders import is_writable
from bench.measure import machine
from bench.measure.timing import MOST
from bench.written import write
from python_tests.helpers.full_disk import file_limit
from python_tests.helpers.paths import ROOT

Main = Callable[[list[str]], int]
COMMANDS = runpy.run_module("bench.__main__", run_name="bench")["COMMANDS"]
POSITIVE = "expected a positive integer of at most 9 digits"
SECONDS = "expected a finite number of at least 0"


@pytest.mark.parametrize(
    ("main", "option", "value", "expected"),
    [
        (command.main, "--rounds", "0", POSITIVE),
        (command.main, "--seconds", "-1", SECONDS),
        (command.main, "--patience", "nan", SECONDS),
        (mixers.main, "--rounds", "0", POSITIVE),
        (passes.main, "--rounds", "0", POSITIVE),
        (passes.main, "--first", "0", POSITIVE),
        (sweep.main, "--count", "0", POSITIVE),
        (sweep.main, "--count", "-3", POSITIVE),
        (sweep.main, "--limit", "9" * 5000, POSITIVE),
        (sweep.main, "--seconds", "-1", SECONDS),
        (lengths.main, "--hidden", "-5", POSITIVE),
        (lengths.main, "--hidden", "1.5", POSITIVE),
        (lengths.main, "--seconds", "nan", SECONDS),
        (threads.main, "--seconds", "inf", SECONDS),
        (models.main, "--seconds", "x", SECONDS),
        (varlen.main, "--hidden", "0", POSITIVE),
        (varlen.main, "--count", "0", POSITIVE),
        (cores.main, "--repeats", "0", POSITIVE),
        (cores.main, "--shapes", "1x9999999999999999999999x2", "expected at most 2^40 elements"),
        (sweep.main, "--shapes", f"1x{'9' * 5000}x2", "expected batch x seq x hidden"),
    ],
)
def test_a_senseless_value_is_an_error(
    main: Main, option: str, value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([f"{option}={value}"])
    assert end.value.code == 2
    assert f"argument {option}: {value!r}: {expected}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bench", "cores", "lengths", "mixers", "passes", "threads"])
def test_the_folder_is_checked_before_the_measurement(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in ("cores", "passes"):
        pytest.importorskip("fnet_core_bench", reason="not built: run `make core`")
    mains: dict[str, Main] = {
        "bench": command.main,
        "cores": cores.main,
        "lengths": lengths.main,
        "mixers": mixers.main,
        "passes": passes.main,
        "threads": threads.main,
    }
    (tmp_path / "file").touch()
    assert mains[name](["--out", str(tmp_path / "file")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "error: --out: cannot write to " in line
    assert name in line


def test_a_folder_is_created_and_left_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_writable(tmp_path / "a" / "b", "bench")
    assert not list((tmp_path / "a" / "b").iterdir())
    if Path("/proc/self").exists():  # exists, but takes no files
        assert not is_writable(Path("/proc/self"), "bench")
        assert capsys.readouterr().err.startswith("bench: error: --out: cannot write to /proc/self")


def test_a_full_disk_leaves_the_last_results(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    write(path, "before")
    with file_limit(100), pytest.raises(OSError, match="File too large"):
        write(path, "after" * 100)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_names_are_modules(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    for name in COMMANDS:
        monkeypatch.setattr(sys, "argv", ["bench", name, "--help"])
        with pytest.raises(SystemExit) as end:
            runpy.run_module("bench", run_name="__main__")
        assert end.value.code == 0
        assert capsys.readouterr().out.startswith("usage: python -m bench")


def test_other_programs_are_seen() -> None:
    found = machine.others(0.2)
    if found is None:
        pytest.skip("this system has no /proc/stat")
    assert 0 <= found <= 1.1 * (os.cpu_count() or 1)
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        assert (machine.others(0.5) or 0) > 0.3
    finally:
        child.kill()
        child.wait()


def test_ctrl_c_is_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    def stops() -> int:
        raise KeyboardInterrupt

    for main, status in ((stops, INTERRUPTED), (lambda: 3, 3), (lambda: sys.exit(2), 2)):
        with pytest.raises(SystemExit) as end:
            run_main(main)
        assert end.value.code == status
    assert capsys.readouterr().err == "interrupted\n"


def test_a_closed_pipe_is_silent() -> None:
    prints = "from bench.arguments import run_main\nrun_main(lambda: print('x') or 0)"
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    for words in (("-c", prints), ("-m", "bench", "--help")):
        reader, writer = os.pipe()
        os.close(reader)
        command_line = [sys.executable, *words]
        done = subprocess.run(
            command_line, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, env=buffered
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, b"")


def test_every_main_is_run_by_the_wrapper() -> None:
    blocks = {}
    for path in sorted((ROOT / "bench").rglob("*.py")):
        _, found, block = path.read_text().partition('if __name__ == "__main__":')
        if found:
            blocks[path.name] = block
    del blocks["memory_child.py"]  # started by ours, which reads what it says
    assert all("run_main(" in block for block in blocks.values())
    for name in COMMANDS:
        package = ROOT / "bench" / name
        assert f"{name}.py" in blocks or (package / "__main__.py").exists()


def test_the_help_names_the_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"], COMMANDS)
    said = capsys.readouterr().out.partition("subcommands")[2]
    assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize("main", [command.main, mixers.main, sweep.main, lengths.main, varlen.main])
def test_the_help_of_seconds_names_the_cap(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert f"in at most {MOST} rounds" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("main", [command.main, mixers.main])
def test_nothing_timed_is_a_failure(
    main: Main, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--shapes", "1x1x1099511627776", "--device", "cpu", "--out", str(tmp_path)]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "nothing was timed" in said
    assert "matplotlib" not in said


def test_no_shape_at_all_is_a_failure(tmp_path: Path) -> None:
    huge = ["--shapes", "1x1x1099511627776"]
    assert sweep.main(huge) == 1
    assert threads.main([*huge, "--out", str(tmp_path)]) == 1
