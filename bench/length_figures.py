"""The times of every length as Markdown, made from what `python -m bench lengths` writes.

defines: length_section

Every function reads JSON and returns Markdown. No figure is typed by hand. The groups of lengths
are arithmetic: the file does not say which algorithm a length took when it was measured.
"""

from __future__ import annotations

from typing import Any

from bench.figures import rows_of, wrapped
from bench.lengths import LengthRow
from bench.recorded import cpu_name, when
from bench.report.lengths import grouped, least

_SMOOTH = 13  # the largest prime of a smooth length
_GROUPS = (
    f"no prime factor above {_SMOOTH}",
    f"composite, a factor above {_SMOOTH}",
    f"prime, above {_SMOOTH}",
)
_WORST = 5


def _largest_prime(n: int) -> int:
    """The largest prime factor of `n`, or 1.

    >>> [_largest_prime(n) for n in (1, 8, 90, 97)]
    [1, 2, 5, 97]
    """
    largest, factor = 1, 2
    while n > 1:
        while n % factor == 0:
            n, largest = n // factor, factor
        factor += 1
    return largest


def _group(seq: int) -> str:
    largest = _largest_prime(seq)
    return _GROUPS[0 if largest <= _SMOOTH else 1 + (largest == seq)]


def length_section(content: dict[str, Any]) -> str:
    """Medians by group of lengths, and the lengths at which ours gains least."""
    facts, hidden = content["machine"], content["settings"]["hidden"]
    rows = [LengthRow(**row) for row in content["rows"]]
    heads = ["lengths", "count", "ns per element", "time / nearest length of the first group"]
    body = [
        [name, str(count), f"{ns:.2f}", f"{over:.2f}", f"{formula:.2f}x", f"{eager:.2f}x"]
        for name, count, (ns, over, formula, eager) in grouped(rows, _group, _GROUPS)
    ]
    worst = [
        [
            f"{row.batch} x {row.seq} x {hidden}",
            f"{row.ours:.2f}",
            f"{row.ours_quartiles[0]:.2f} to {row.ours_quartiles[1]:.2f}",
            f"{row.rival_time / row.ours:.2f}x",
            row.rival,
        ]
        for row in least(rows)[:_WORST]
    ]
    least_heads = ["batch x seq x hidden", "ns per element", "quartiles", "best eager torch"]
    taken = (
        f"Lengths {rows[0].seq} to {rows[-1].seq} on {cpu_name(facts)}, {facts['threads']} threads,"
        f" {facts['isa']['auto']}, {when(facts)}, medians:"
    )
    return (
        f"{wrapped(taken)}\n\n"
        f"{rows_of([*heads, 'formula', 'best eager torch'], body)}\n\n"
        f"Ours gains least at these lengths:\n\n{rows_of([*least_heads, 'which'], worst)}"
    )
