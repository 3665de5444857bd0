"""The record of a run, `log.jsonl`: one JSON object a line.

defines: Log, environment, finished, records

Kinds are "header", "step", "validation", "resumed", and as the last line of a finished run "test",
or "finished" where the data has no test examples.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from examples.training.board import Board
from examples.training.failures import replacing, writing

FILE = "log.jsonl"
_LAST = ("test", "finished")


class Log:
    """Appends records to a file, and to TensorBoard where that is installed.

    Args:
        folder: of the run; made if it does not exist. None writes nothing.
        resume: keep the records that the file has.
    """

    def __init__(self, folder: Path | None, *, resume: bool) -> None:
        self._path = None if folder is None else folder / FILE
        self._board: Board | None = None
        if folder is None or self._path is None:
            return
        kept = records(folder) if resume else []
        # A record that a crash cut off would join the next one.
        with replacing(self._path) as file:
            file.write("".join(map(_line, kept)).encode())
        self._board = Board(folder / "tensorboard")

    def write(self, kind: str, **values: Any) -> None:
        """Append a record."""
        if self._path is None:
            return
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(_line({"kind": kind, **values}))
        if self._board is not None and "step" in values:
            self._board.add(kind, values["step"], values)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of a run, without those that a resumed run wrote again.

    Raises:
        ValueError: a line is not a record.
    """
    kept: list[dict[str, Any]] = []
    for record in _read(folder / FILE):
        if record["kind"] == "header":
            kept.clear()
        elif record["kind"] == "resumed":
            kept = [one for one in kept if one.get("step", 0) <= record["step"]]
        kept.append(record)
    return kept


def finished(folder: Path) -> dict[str, Any] | None:
    """The last record of a run, if the run is finished."""
    last = (records(folder) or [{"kind": None}])[-1]
    return last if last["kind"] in _LAST else None


def environment(device: torch.device) -> dict[str, Any]:
    """What the header says about the machine and the software."""
    packages = ("torch", "fnet_kernels", "numpy", "tokenizers", "transformers")
    versions = {name: found for name in packages if (found := _version(name))}
    return {
        "versions": {"python": platform.python_version(), **versions},
        "git": _git(),
        "device": _name(device),
        "threads": torch.get_num_threads(),
    }


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"  # in ASCII, so that any path can be written


def _read(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    *lines, _ = path.read_text(encoding="utf-8").split("\n")  # a crash may cut off the last one
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or "kind" not in record:
            raise ValueError(f"{path}, line {number}: expected a record of a run")
        yield record


def _version(package: str) -> str | None:
    if package == "fnet_kernels":  # runs from the clone, so need not be installed
        import fnet_kernels

        return fnet_kernels.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _name(device: torch.device) -> str:
    """The name of a GPU, or of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
