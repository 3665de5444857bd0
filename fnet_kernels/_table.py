"""Plain-text tables: the first column left-aligned, the others right-aligned.

defines: table
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Align `rows` under `header`; the first `left` columns are left-aligned.

    Raises:
        ValueError: a row has another number of cells than the header.

    Example:
        >>> print(table(["what", "ms"], [["copy", "0.5"], ["formula", "15.0"]]))
        what       ms
        -------  ----
        copy      0.5
        formula  15.0
    """
    body = [list(row) for row in rows]
    for row in body:
        if len(row) != len(header):
            raise ValueError(f"row {row!r}: expected {len(header)} cells, got {len(row)}")
    widths = [max(len(line[i]) for line in [list(header), *body]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, body)])
