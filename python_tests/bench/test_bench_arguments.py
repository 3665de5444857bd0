"""Values that no benchmark can use, and folders that cannot be written, end with one error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import command, cores, lengths, mixers, models, passes, sweep, threads, varlen
from bench.folders import is_writable

Main = Callable[[list[str]], int]
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
        (passes.main, "--shapes", "0", POSITIVE),
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
