"""Progress on stderr: one moving line on a terminal, one plain line per step anywhere else.

defines: Progress
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

_BAR = 24


class Progress:
    """Counts steps out of `total`; a step may tell how much of it is done."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = sys.stderr if stream is None else stream
        self.live = self.stream.isatty()
        self.began = time.monotonic()
        self.done = -1
        self.text = ""

    def step(self, text: str) -> None:
        """Begin the next step."""
        self.done += 1
        self.text = text
        if self.live:
            self.part(0.0)
        else:
            print(f"[{self.done + 1}/{self.total}] {text}", file=self.stream, flush=True)

    def part(self, fraction: float) -> None:
        """Say that `fraction`, 0 to 1, of the current step is done (shown on a terminal only)."""
        if not self.live:
            return
        share = min(1.0, (self.done + fraction) / self.total)
        bar = "#" * round(_BAR * share)
        seconds = time.monotonic() - self.began
        line = f"[{bar:<{_BAR}}] {100 * share:3.0f}%  {seconds:3.0f} s  {self.text}"
        self.stream.write(f"\r\x1b[K{line}")
        self.stream.flush()

    def close(self) -> None:
        """Clear the moving line, so that what follows starts on a clean one."""
        if self.live:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
