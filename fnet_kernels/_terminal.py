"""Tables and progress through `rich` (extra `cli`), or plain lines if it is not installed.

defines: table, Progress
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

#: The eight lines of a `rich.box.Box`. Only the third, the rule below the header, is visible.
_RULE_BELOW_HEADER = "\n".join(["    "] * 2 + ["--- "] + ["    "] * 5) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Align `rows` under `header`; the first `left` columns are left-aligned.

    Without `rich`, two spaces separate the cells and nothing is aligned.

    Raises:
        ValueError: the number of cells in a row differs from that of the header.
    """
    lines = [list(header), *map(list, rows)]
    for line in lines:
        if len(line) != len(header):
            raise ValueError(f"row {line!r}: expected {len(header)} cells, got {len(line)}")
    try:
        from rich.box import Box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    grid = Table(
        box=Box(_RULE_BELOW_HEADER, ascii=True),
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        header_style="",
    )
    for i, name in enumerate(header):
        grid.add_column(name, justify="left" if i < left else "right", no_wrap=True)
    for line in lines[1:]:
        grid.add_row(*line)
    text = io.StringIO()
    width = sum(max(map(len, column)) + 3 for column in zip(*lines, strict=True))
    console = Console(
        file=text, width=width, markup=False, emoji=False, highlight=False, color_system=None
    )
    console.print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


class Progress:
    """Shows progress over `total` steps: a bar on a terminal, else one line per step.

    Writes to `stream`, by default stderr. Only method calls redraw the bar: a background thread
    would disturb timings.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = sys.stderr if stream is None else stream
        self.done = -1
        self.bar = _bar(self.stream) if self.stream.isatty() else None

    def step(self, text: str) -> None:
        """Begin the next step, described by `text`."""
        self.done += 1
        if self.bar is None:
            print(f"[{self.done + 1}/{self.total}] {text}", file=self.stream, flush=True)
        else:
            self.bar.start()
            for task in self.bar.task_ids or [self.bar.add_task(text)]:
                self.bar.update(task, description=text)
            self.part(0.0)

    def part(self, fraction: float) -> None:
        """Report that `fraction`, 0 to 1, of the current step is done. Only the bar shows it."""
        if self.bar is not None:
            for task in self.bar.task_ids:
                self.bar.update(task, completed=self.done + fraction, total=self.total)
            self.bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.stop()


def _bar(stream: TextIO) -> Bar | None:
    """A progress bar of `rich` on `stream`, or None if `rich` is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    return Bar(
        BarColumn(24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(file=stream),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
