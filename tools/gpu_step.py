"""Independent commands: each runs in its own process, with limits on time and output.

defines: Part, Result, Step, Check, SECONDS, PASS, FAIL, ABSENT, SKIPPED, WRONG, replace_file
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

PASS, FAIL, ABSENT, SKIPPED = "pass", "FAIL", "absent", "skipped"
HEAD = TAIL = 256 << 10  # bytes kept in a log from the start and the end of the output
#: A word of a command that stands for its seconds of work: the time limit without `AROUND`.
SECONDS = "{seconds}"
AROUND = 15.0  # seconds for imports, and for what begins last


@dataclass(frozen=True)
class Part:
    """One process of a step.

    Attributes:
        name: the name in the summary and of the log.
        command: the command, or None if it cannot run; `remark` then gives the reason.
        limit: time limit in seconds.
        least: with fewer seconds left it does not start, because it would achieve nothing.
        variables: environment variables.
        backward: whether it runs the backward kernels. It is skipped after they crashed or hung.
        status: the exit status that means success.
        remark: the reason for a missing command.
        cwd: the working directory, by default the tree. `python -m` imports from it first.
        creates: a file that must exist afterwards.
    """

    name: str
    command: Sequence[str] | None
    limit: float
    variables: Mapping[str, str] = field(default_factory=dict)
    backward: bool = False
    status: int = 0
    least: float = 1.0
    remark: str = ""
    cwd: Path | None = None
    creates: Path | None = None


@dataclass
class Result:
    """The outcome of a part."""

    step: str
    part: str
    verdict: str
    seconds: float = 0.0
    remark: str = ""
    status: int | None = None  # the exit status; None if the part was stopped or did not run


#: The exit status of a smoke test that ended with a wrong result. Any other failure means that the
#: kernels crash, trap or hang.
WRONG = 4


@dataclass(frozen=True)
class Step:
    """A named group of parts. `parts` makes them when the step starts."""

    name: str
    limit: float  # seconds for all parts
    parts: Callable[[Check], Sequence[Part]]


class Check:
    """Runs and logs parts, and stores their results."""

    def __init__(
        self, tree: Path, out: Path, *, rehearse: bool = False, prebuilt: Path | None = None
    ) -> None:
        self.tree, self.out = tree, out
        self.rehearse, self.prebuilt = rehearse, prebuilt
        self.logs = tree.parent / "logs"
        self.machine: dict[str, str] = {}
        self.results: list[Result] = []
        self.injected: dict[str, str] = {}
        self.hang_limit: float | None = None  # seconds until an injected hang is stopped
        for folder in (self.out, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        summary = self.out / "summary.json"
        if summary.exists():  # from an earlier call for other steps
            self.results = [Result(**r) for r in json.loads(summary.read_text())["results"]]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            "FNET_CUDA": "0" if rehearse else "1",
            "FNET_GPU_TESTS": "rehearse" if rehearse else "require",
        }
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        self.environment.setdefault("MAX_JOBS", str(cores or os.cpu_count() or 1))

    @property
    def backward_is_off(self) -> bool:
        """Whether the backward smoke test crashed or hung; wrong results do not count."""
        return any(
            (r.step, r.part, r.verdict) == ("smoke", "backward", FAIL) and r.status != WRONG
            for r in self.results
        )

    def log(self, step: str, part: str) -> Path:
        return self.logs / f"{step}-{part}.log".replace(" ", "-").replace(",", "")

    def run_step(self, step: Step, limit: float, only: Sequence[str] | None = None) -> list[Result]:
        """Run the parts, or only those named, in order. A failure does not stop the next part."""
        end = time.monotonic() + min(step.limit, limit)
        results: list[Result] = []
        try:
            parts = step.parts(self)
        except Exception as error:  # the other steps can still run
            parts = [Part("parts", None, 0, remark=f"{type(error).__name__}: {error}")]
        for part in (p for p in parts if only is None or p.name in only):
            self.log(step.name, part.name).unlink(missing_ok=True)
            result = self.run_part(step.name, part, end - time.monotonic())
            results.append(result)
            same = (step.name, part.name)
            self.results = [r for r in self.results if (r.step, r.part) != same] + [result]
            self.keep()
            print(line(result), flush=True)
        return results

    def run_part(self, step: str, part: Part, left: float) -> Result:
        """Run one part within its limit and the time left for the step."""
        if part.command is None:
            verdict = ABSENT if part.remark.startswith("there is no") else FAIL
            return Result(step, part.name, verdict, remark=part.remark)
        if part.backward and self.backward_is_off:
            return Result(
                step, part.name, SKIPPED, remark="the backward pass failed its smoke test"
            )
        if left < part.least:
            remark = f"no time left: {left:.0f} s, it needs {part.least:.0f} s"
            return Result(step, part.name, SKIPPED, remark=remark)
        failure = self.injected.get(f"{step}/{part.name}") if self.rehearse else None
        limit = min(part.limit, left)
        seconds = f"{max(limit - AROUND, 1.0):.0f}"
        command = [seconds if word == SECONDS else word for word in part.command]
        if failure:
            command = [sys.executable, "-c", INJECTED[failure]]
        if failure == "hang" and self.hang_limit is not None:
            limit = min(limit, self.hang_limit)
        started = time.monotonic()
        try:
            status = self._run(command, self.log(step, part.name), limit, part)
        except OSError as error:
            return Result(step, part.name, FAIL, remark=f"{type(error).__name__}: {error}")
        took = round(time.monotonic() - started, 1)
        if status is None:
            remark = f"stopped after {limit:.0f} s"
            return Result(step, part.name, FAIL, took, remark)
        verdict = PASS if status == part.status else FAIL
        remark = "" if verdict == PASS else f"exit status {status}"
        if verdict == PASS and part.creates is not None and not part.creates.exists():
            verdict, remark = FAIL, f"{part.creates.name} was not written"
        return Result(step, part.name, verdict, took, remark, status)

    def _run(self, command: Sequence[str], log: Path, limit: float, part: Part) -> int | None:
        """The exit status, or None if the process exceeded its limit and was killed."""
        child = subprocess.Popen(
            command,
            cwd=part.cwd or self.tree,
            env=self.environment | dict(part.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its child processes are killed with it
        )
        assert child.stdout is not None
        reader = threading.Thread(target=_keep_ends, args=(child.stdout, log, command), daemon=True)
        reader.start()
        status: int | None = None
        try:
            status = child.wait(max(limit, 1.0))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            try:  # a process that waits for a lost device may not end
                child.wait(10)
            except subprocess.TimeoutExpired:
                print(f"process {child.pid} cannot be killed", flush=True)
        reader.join(5)  # a grandchild may keep the pipe open forever
        return status

    def keep(self) -> None:
        """Write summary.json and the logs so far. If it is killed, the earlier files remain."""
        text = json.dumps(self.content(), indent=1) + "\n"
        replace_file(self.out / "summary.json", text.encode())
        paths = sorted(self.log(r.step, r.part) for r in self.results)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for path in (path for path in paths if path.exists()):
                tar.add(path, path.name)
        replace_file(self.out / "logs.tar.gz", archive.getvalue())

    def content(self) -> dict[str, object]:
        """The content of summary.json."""
        results = [asdict(result) for result in self.results]
        return {"rehearsal": self.rehearse, "machine": self.machine, "results": results}


INJECTED = {
    "crash": "import os; print('about to crash', flush=True); os.abort()",
    "hang": "import time; print('about to hang', flush=True); time.sleep(1e6)",
    "flood": "for i in range(200_000): print('a line of a flood', i)",
}


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that is complete whenever the process is killed."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def line(result: Result) -> str:
    """A line of the summary."""
    name = f"{result.step}: {result.part}"
    row = f"{name:<44.44} {result.verdict:<7} {result.seconds:6.1f} s  {result.remark[:120]}"
    return row.rstrip()


def _keep_ends(stream: IO[bytes], log: Path, command: Sequence[str]) -> None:
    """Write the first HEAD bytes to `log` as they arrive, and the last TAIL bytes at the end."""
    head, lost = HEAD, 0
    tail: deque[bytes] = deque()
    kept = 0
    with log.open("wb") as file:
        file.write(f"$ {' '.join(command)}\n".encode())
        while chunk := os.read(stream.fileno(), 1 << 16):
            now, chunk = chunk[:head], chunk[head:]
            file.write(now)
            file.flush()
            head -= len(now)
            if chunk:
                tail.append(chunk)
                kept += len(chunk)
                while kept - len(tail[0]) >= TAIL:
                    kept -= len(tail[0])
                    lost += len(tail.popleft())
        if lost:
            file.write(f"\n... {lost} bytes left out ...\n".encode())
        file.writelines(tail)
