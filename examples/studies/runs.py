"""The folder of one run: what state it is in, who holds it, and how to start or continue it.

defines: State, Run

A run's folder holds its log (log.jsonl), what the program printed (output.txt), and run.json: the
command and the machine. A lock on run.json is held while the program runs, by the program itself,
and the system frees it when the program ends in any way: two runners cannot do the same run twice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

from examples.studies import log
from examples.studies.study import Cell
from examples.training.failures import lock, writing

ROOT = Path(__file__).parents[2]


class State(Enum):
    """How far a run is."""

    ABSENT = "not started"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"


class Run:
    """A cell in its folder below `out`."""

    def __init__(self, cell: Cell, out: Path) -> None:
        self.cell = cell
        self.folder = cell.folder(out.resolve())  # the program runs in the root of the repository
        self.facts_file = self.folder / "run.json"

    def log(self) -> log.Log:
        """What the run has written so far."""
        return log.read(self.folder)

    def facts(self) -> dict[str, Any]:
        """The command and the machine, as recorded at the start; empty before it."""
        text = self.facts_file.read_text() if self.facts_file.exists() else ""
        facts: dict[str, Any] = json.loads(text) if text else {}
        return facts

    def state(self) -> State:
        """How far the run is.

        Raises:
            ValueError: the folder holds a run with another command.
        """
        records = self.log()
        if not records.records:
            return State.ABSENT
        if (found := self.facts().get("arguments")) != self.cell.arguments():
            raise ValueError(
                f"{self.folder}: holds a run with other options, {found}; expected"
                f" {self.cell.arguments()}; move the folder away"
            )
        return State.FINISHED if records.finished else State.INTERRUPTED

    def start(self, machine: dict[str, Any], threads: int, device: str) -> subprocess.Popen[bytes]:
        """Start or continue the run.

        The process gets a session of its own: Ctrl-C reaches the runner alone, which passes it on.

        Raises:
            BlockingIOError: the run is in progress.
        """
        with lock(self.facts_file) as held:
            if self.state() is State.ABSENT:
                facts = {"arguments": self.cell.arguments(), **machine}
                held.truncate(0)
                # A buffer of its own: on a full disk, that of `held` would raise at its close, too.
                with writing(self.facts_file), open(held.fileno(), "w", closefd=False) as file:
                    file.write(f"{json.dumps(facts)}\n")
            where = ["--threads", str(threads), "--device", device, "--out", str(self.folder)]
            command = [sys.executable, *self.cell.arguments(), *where, "--resume"]
            path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
            with (self.folder / "output.txt").open("ab") as output:
                return subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(held.fileno(),),
                )

    def complaint(self) -> str:
        """The last line that the program printed."""
        output = self.folder / "output.txt"
        lines = output.read_text(errors="replace").split("\n") if output.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
