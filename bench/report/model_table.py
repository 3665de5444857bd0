"""The table of whole models, with the paper's figures beside those of this machine.

defines: model_table
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.report import paper


def model_table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and body. BERT is compared in the same dtype, stock FNet in float32."""
    header = ["model", "dtype", "task", "ms/batch", "quartiles ms", "stock / this", "BERT / this"]
    header += ["peak MiB", "paper: V100 ms", "TPU v3 ms", "BERT / this"]
    body = []
    for row in rows:
        name, task = f"{row['model'].removesuffix(' patched')}-{row['size']}", row["task"]
        reported = paper.MODELS.get((name, task))
        bert = paper.MODELS.get((f"BERT-{row['size']}", task))
        peak = row.get("peak_mib")
        body.append(
            [
                f"{row['model']}-{row['size']}",
                row["dtype"],
                task,
                f"{row['median_ms']:.0f}",
                f"{row['q1_ms']:.0f} to {row['q3_ms']:.0f}",
                _ratio(row["stock_over_this"]),
                _ratio(row["bert_over_this"]),
                "" if peak is None else f"{peak:.0f}",
                f"{reported[0]:.0f}" if reported else "",
                f"{reported[1]:.0f}" if reported and reported[1] else "",
                _ratio(bert[0] / reported[0] if reported and bert else None),
            ]
        )
    return header, body


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"
