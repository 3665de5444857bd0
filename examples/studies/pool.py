"""Runs cells in subprocesses, several at a time, until all are done or someone stops it.

defines: Pool
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from examples.studies.runs import Run, State

_SAVE_SECONDS = 60.0  # how long a stopped run may take to save its state


class Pool:
    """At most `jobs` runs at a time.

    Args:
        start: starts a run, see `Run.start`.
        jobs: how many run at a time.
        tell: called with a line of text about each run that ends.
        seconds: after this time all runs are stopped, as by Ctrl-C.
    """

    def __init__(
        self,
        start: Callable[[Run], subprocess.Popen[bytes]],
        jobs: int,
        tell: Callable[[Run, str], None],
        seconds: float = float("inf"),
    ) -> None:
        self.start = start
        self.jobs = jobs
        self.tell = tell
        self.ends = time.monotonic() + seconds
        self.running: dict[Run, subprocess.Popen[bytes]] = {}
        self.failed: list[Run] = []
        self.skipped: list[Run] = []  # another process does them
        self.stopped = False

    def run(self, runs: Sequence[Run]) -> bool:
        """Do all `runs`, in this order. False if it was stopped before the end, or a run failed.

        A run that fails does not stop the others. One that another process does is skipped; it
        counts as done if it is finished when the others are.
        """
        waiting = list(runs)
        with self._stop_at_signals():
            try:
                while (waiting or self.running) and not self.stopped:
                    while waiting and len(self.running) < self.jobs:
                        self._begin(waiting.pop(0))
                    time.sleep(0.05)
                    self._reap()
                    self.stopped = self.stopped or time.monotonic() > self.ends
            finally:  # `tell` may raise
                self._end()
        left = [run for run in self.skipped if run.state() is not State.FINISHED]
        return not (self.stopped or self.failed or left)

    def _begin(self, run: Run) -> None:
        try:
            self.running[run] = self.start(run)
        except BlockingIOError:
            self.skipped.append(run)
            self.tell(run, "another process does it")

    def _reap(self) -> None:
        for run, child in list(self.running.items()):
            if child.poll() is None:
                continue
            del self.running[run]
            self.tell(run, self._outcome(run, child.returncode))

    def _outcome(self, run: Run, status: int) -> str:
        """What became of a run whose program ended with `status`."""
        try:
            if status == 0 and run.state() is State.FINISHED:
                metric = run.cell.study.metric
                return f"{metric} {run.log().last('test')[metric]:.4f}"
            if self.stopped:
                return "stopped; the next call continues it"
            problem = run.complaint()
        except (ValueError, KeyError) as error:
            problem = f"its log cannot be read: {error}"
        self.failed.append(run)
        return f"failed: {problem}"

    def _end(self) -> None:
        """Interrupt what runs, so that it saves its state; kill what does not end in time."""
        for child in self.running.values():
            child.send_signal(signal.SIGINT)
        patience = time.monotonic() + _SAVE_SECONDS
        for child in self.running.values():
            try:
                child.wait(max(0.0, patience - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._reap()

    @contextmanager
    def _stop_at_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop the pool.

        A handler is set even where SIGINT was ignored, as in the background of a shell: children
        would inherit that, and nothing could interrupt them.
        """

        def stop(*_: Any) -> None:
            self.stopped = True

        caught = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, stop) for number in caught]
        try:
            yield
        finally:
            for number, handler in zip(caught, before, strict=True):
                signal.signal(number, handler)
