"""Tables and progress through `rich` (extra `cli`); plain lines where it is missing.

defines: table, Progress
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

#: Eight lines for the parts of a table, of which only the rule below the header is drawn.
_RULE_BELOW_HEADER = "\n".join(["    "] * 2 + ["--- "] + ["    "] * 5) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Align `rows` under `header`; the first `left` columns are left-aligned.

    Without `rich` cells are separated by two spaces, and not aligned.

    Raises:
        ValueError: a row has another number of cells than the header.
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
    made = Table(
        box=Box(_RULE_BELOW_HEADER, ascii=True),
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        header_style="",
    )
    for i, name in enumerate(header):
        made.add_column(name, justify="left" if i < left else "right", no_wrap=True)
    for line in lines[1:]:
        made.add_row(*line)
    text = io.StringIO()
    width = sum(max(map(len, column)) + 3 for column in zip(*lines, strict=True))
    console = Console(
        file=text, width=width, markup=False, emoji=False, highlight=False, color_system=None
    )
    console.print(made)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


class Progress:
    """Counts steps out of `total`: a bar on a terminal, else a line for each step.

    Both go to stderr, or to `stream`. The bar is drawn only when a method is called: no thread
    disturbs what is timed.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = sys.stderr if stream is None else stream
        self.done = -1
        self.bar = _bar(self.stream) if self.stream.isatty() else None

    def step(self, text: str) -> None:
        """Begin the next step."""
        self.done += 1
        if self.bar is None:
            print(f"[{self.done + 1}/{self.total}] {text}", file=self.stream, flush=True)
        else:
            self.bar.start()
            for task in self.bar.task_ids or [self.bar.add_task(text)]:
                self.bar.update(task, description=text)
            self.part(0.0)

    def part(self, fraction: float) -> None:
        """Say that `fraction`, 0 to 1, of the current step is done; only a bar shows it."""
        if self.bar is not None:
            for task in self.bar.task_ids:
                self.bar.update(task, completed=self.done + fraction, total=self.total)
            self.bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.stop()


def _bar(stream: TextIO) -> Bar | None:
    """A bar of `rich` on `stream`, or None where `rich` is missing."""
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
