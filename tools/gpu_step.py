"""Commands that survive each other: each a process of its own, with limits of time and of output.

defines: Part, Result, Step, Check, PASS, FAIL, ABSENT, SKIPPED, WRONG
"""

from __future__ import annotations

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
HEAD = TAIL = 256 << 10  # bytes of a part's output that its log keeps, from either end


@dataclass(frozen=True)
class Part:
    """One process of a step.

    `command` is what runs; None says in `remark` why nothing can. `limit` is in seconds.
    `backward`: it runs the kernels of the backward pass, so it is skipped once these have crashed
    or hung. `status` is the exit status of success. `cwd` comes before PYTHONPATH when the command
    is a module; the tree by default. `creates` must be there afterwards.
    """

    name: str
    command: Sequence[str] | None
    limit: float
    variables: Mapping[str, str] = field(default_factory=dict)
    backward: bool = False
    status: int = 0
    remark: str = ""
    cwd: Path | None = None
    creates: Path | None = None


@dataclass
class Result:
    """What became of a part."""

    step: str
    part: str
    verdict: str
    seconds: float = 0.0
    remark: str = ""
    status: int | None = None  # the exit status; None where the part was stopped, or did not run


#: The exit status of a smoke test that ran to its end with a wrong result. Every other failure says
#: that the kernels crash, trap or hang.
WRONG = 4


@dataclass(frozen=True)
class Step:
    """A named group of parts. `parts` is called when the step's turn comes."""

    name: str
    limit: float  # seconds for all of its parts
    parts: Callable[[Check], Sequence[Part]]


class Check:
    """Where things are, how a part is run and logged, and what has become of every part so far."""

    def __init__(
        self, tree: Path, out: Path, *, rehearse: bool = False, prebuilt: Path | None = None
    ) -> None:
        self.tree, self.out = tree, out
        self.rehearse, self.prebuilt = rehearse, prebuilt
        self.logs = tree.parent / "logs"
        self.machine: dict[str, str] = {}
        self.results: list[Result] = []
        self.injected: dict[str, str] = {}
        self.hang_limit: float | None = None  # of an injected hang, which is known to have no end
        for folder in (self.out, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        summary = self.out / "summary.json"
        if summary.exists():  # of an earlier call for other steps
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
        """Whether the smoke test of the backward pass crashed or hung; wrong is not off."""
        return any(
            (r.step, r.part, r.verdict) == ("smoke", "backward", FAIL) and r.status != WRONG
            for r in self.results
        )

    def log(self, step: str, part: str) -> Path:
        return self.logs / f"{step}-{part}.log".replace(" ", "-").replace(",", "")

    def run_step(self, step: Step, limit: float, only: Sequence[str] | None = None) -> list[Result]:
        """Run the parts, or those named, in order; whatever happens to one, the next one runs."""
        end = time.monotonic() + min(step.limit, limit)
        results: list[Result] = []
        try:
            parts = step.parts(self)
        except Exception as error:  # the other steps still have something to say
            parts = [Part("parts", None, 0, remark=f"{type(error).__name__}: {error}")]
        for part in (p for p in parts if only is None or p.name in only):
            self.log(step.name, part.name).unlink(missing_ok=True)
            result = self.run_part(step.name, part, end - time.monotonic())
            results.append(result)
            same = (step.name, part.name)
            self.results = [r for r in self.results if (r.step, r.part) != same] + [result]
            print(line(result), flush=True)
        return results

    def run_part(self, step: str, part: Part, left: float) -> Result:
        """Run one part within its limit and what is left of the step's."""
        if part.command is None:
            verdict = ABSENT if part.remark.startswith("there is no") else FAIL
            return Result(step, part.name, verdict, remark=part.remark)
        if part.backward and self.backward_is_off:
            return Result(step, part.name, SKIPPED, remark="the backward pass failed in the smoke")
        if left < 1:
            return Result(step, part.name, SKIPPED, remark="the step's time is over")
        failure = self.injected.get(f"{step}/{part.name}") if self.rehearse else None
        command = [sys.executable, "-c", INJECTED[failure]] if failure else part.command
        limit = min(part.limit, left, (failure and self.hang_limit) or part.limit)
        started = time.monotonic()
        try:
            status = self._run(command, self.log(step, part.name), limit, part)
        except OSError as error:
            return Result(step, part.name, FAIL, remark=f"{type(error).__name__}: {error}")
        seconds = round(time.monotonic() - started, 1)
        if status is None:
            remark = f"stopped after {limit:.0f} s"
            return Result(step, part.name, FAIL, seconds, remark)
        verdict = PASS if status == part.status else FAIL
        remark = "" if verdict == PASS else f"exit status {status}"
        if verdict == PASS and part.creates is not None and not part.creates.exists():
            verdict, remark = FAIL, f"{part.creates.name} was not written"
        return Result(step, part.name, verdict, seconds, remark, status)

    def _run(self, command: Sequence[str], log: Path, limit: float, part: Part) -> int | None:
        """The exit status; None when it ran out of time and was killed."""
        child = subprocess.Popen(
            command,
            cwd=part.cwd or self.tree,
            env=self.environment | dict(part.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that what it started ends with it
        )
        assert child.stdout is not None
        reader = threading.Thread(target=_keep_ends, args=(child.stdout, log, command), daemon=True)
        reader.start()
        status: int | None = None
        try:
            status = child.wait(max(limit, 1.0))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            try:  # a process that waits for a lost device may not die: the others go on
                child.wait(10)
            except subprocess.TimeoutExpired:
                print(f"process {child.pid} cannot be killed", flush=True)
        reader.join(5)  # a grandchild may hold the pipe for ever
        return status

    def archive(self) -> None:
        """The logs of all results as one file in `out`."""
        paths = sorted(self.log(r.step, r.part) for r in self.results)
        with tarfile.open(self.out / "logs.tar.gz", "w:gz") as tar:
            for path in (path for path in paths if path.exists()):
                tar.add(path, path.name)

    def content(self) -> dict[str, object]:
        """What summary.json holds."""
        results = [asdict(result) for result in self.results]
        return {"rehearsal": self.rehearse, "machine": self.machine, "results": results}


INJECTED = {
    "crash": "import os; print('about to crash', flush=True); os.abort()",
    "hang": "import time; print('about to hang', flush=True); time.sleep(1e6)",
    "flood": "for i in range(2_000_000): print('a line that nobody wants', i)",
}


def line(result: Result) -> str:
    """A row of the summary."""
    name = f"{result.step}: {result.part}"
    row = f"{name:<44.44} {result.verdict:<7} {result.seconds:6.1f} s  {result.remark[:120]}"
    return row.rstrip()


def _keep_ends(stream: IO[bytes], log: Path, command: Sequence[str]) -> None:
    """Write the output to `log`, the first HEAD bytes as they come and the last TAIL at the end."""
    head, lost = HEAD, 0
    tail: deque[bytes] = deque()
    held = 0
    with log.open("wb") as file:
        file.write(f"$ {' '.join(command)}\n".encode())
        while chunk := os.read(stream.fileno(), 1 << 16):
            now, chunk = chunk[:head], chunk[head:]
            file.write(now)
            file.flush()
            head -= len(now)
            if chunk:
                tail.append(chunk)
                held += len(chunk)
                while held - len(tail[0]) >= TAIL:
                    held -= len(tail[0])
                    lost += len(tail.popleft())
        if lost:
            file.write(f"\n... {lost} bytes are left out ...\n".encode())
        file.writelines(tail)
