"""The targets on a CPU with two cores.

defines: TARGETS, and each target by name
"""

from __future__ import annotations

from bench.targets.target import Target

FORMULA = Target("forward fp32: formula / ours", 6.0, True)
TORCH = Target("forward fp32: best torch / ours", 3.0, True)
FLOOR = Target("forward fp32: ours / layer_norm(x + x)", 3.0, False)
BACKWARD = Target("backward alone: formula / ours", 4.0, True)
STEP = Target("forward + backward: formula / ours", 4.0, True)
BF16 = Target("forward: ours bf16 / ours fp32", 1.3, False)
BF16_CACHED = Target("x in cache, forward: ours bf16 / ours fp32", 1.15, False)
THREADS = Target("batch 1: one thread / two threads", 1.6, True)
MEMORY = Target("extra memory / x in fp32", 0.5, False)
PRIME_FORMULA = Target("prime seq, forward fp32: formula / ours", 5.0, True)
PRIME_TORCH = Target("prime seq, forward fp32: best torch / ours", 2.5, True)
PRIME_NEIGHBOUR = Target("prime seq, forward fp32: ours / ours at seq - 1", 2.0, False)
PRIME_STEP = Target("prime seq, forward + backward: formula / ours", 4.0, True)
VARLEN_EQUAL = Target("random lengths, forward fp32: ours / ours of equal lengths", 1.3, False)
VARLEN_PADDED = Target("random lengths, forward fp32: ours / ours padded", 0.75, False)
BLOCK = Target("other blocks, forward fp32: formula / ours", 4.0, True)
BLOCK_STEP = Target("pre-norm, forward + backward: formula / ours", 4.0, True)
PRIMES = [PRIME_FORMULA, PRIME_TORCH, PRIME_NEIGHBOUR, PRIME_STEP]
BLOCKS = [BLOCK, BLOCK_STEP]
TARGETS = [FORMULA, TORCH, FLOOR, BACKWARD, STEP, BF16, BF16_CACHED, MEMORY, THREADS]
TARGETS += [*PRIMES, *BLOCKS, VARLEN_EQUAL, VARLEN_PADDED]
