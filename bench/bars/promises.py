"""The bars of this project on a CPU of two cores, as design.md states them.

defines: PROMISES, and each of them by name
"""

from __future__ import annotations

from bench.bars.bar import Bar

FORMULA = Bar("forward fp32: formula / ours", 6.0, True)
TORCH = Bar("forward fp32: best torch / ours", 3.0, True)
FLOOR = Bar("forward fp32: ours / layer_norm(x + x)", 3.0, False)
BACKWARD = Bar("backward alone: formula / ours", 4.0, True)
STEP = Bar("forward + backward: formula / ours", 4.0, True)
BF16 = Bar("forward: ours bf16 / ours fp32", 1.3, False)
THREADS = Bar("batch 1: one thread / two threads", 1.6, True)
MEMORY = Bar("extra memory / x in fp32", 0.5, False)
PROMISES = [FORMULA, TORCH, FLOOR, BACKWARD, STEP, BF16, MEMORY, THREADS]
