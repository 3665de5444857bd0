"""What a terminal shows of a run: one line that rich redraws, or a plain line now and then.

defines: Display
"""

from __future__ import annotations

import sys
import time
from typing import Any

from fnet_kernels.cli.pipes import discard_stdout

#: Seconds from one plain line to the next.
PAUSE = 5.0


class Display:
    """Shows how far a run is.

    Args:
        title: of the run.
        quiet: show nothing, as all processes but the first.
    """

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self._title, self._quiet, self._shown = title, quiet, 0.0
        self._live: Any = None
        if not quiet and sys.stdout.isatty():
            self._live = _rich(title)

    def update(self, spent: float, text: str) -> None:
        """Show `text` and the share of the budget that is spent."""
        if self._live is not None:
            self._live.update(0, completed=spent, text=text)
        elif time.monotonic() - self._shown >= PAUSE:
            self._shown = time.monotonic()
            self.say(f"{self._title}: {100 * spent:.0f} %  {text}")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._live is not None:
            self._live.console.print(text, highlight=False)
        elif not self._quiet:
            try:
                print(text, flush=True)
            except BrokenPipeError:  # the reader, for example `head`, is gone; training goes on
                self._quiet = True
                discard_stdout()

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _rich(title: str) -> Any:
    try:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = (
        TextColumn(title),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    live = Progress(*columns)
    live.add_task(title, total=1.0, text="")
    live.start()
    return live
