"""The shapes of the benchmarks: (batch, seq, hidden).

defines: TARGET_SHAPES, PRIME_SHAPES, CACHED_SHAPES, BATCH_ONE, VARLEN, random_lengths, LENGTHS,
TOKENS, AWKWARD, is_awkward, label, parse, equal_tokens
"""

from __future__ import annotations

import random

Shape = tuple[int, int, int]

TARGET_SHAPES: list[Shape] = [
    (8, 512, 768),  # FNet-Base at the paper's length
    (2, 2048, 768),  # longer text, fewer sequences
    (4, 512, 1024),  # FNet-Large: both lengths are powers of two
    (2, 4096, 768),  # x alone takes 25 MB, more than most caches
]
#: Class tokens of vision transformers beside 196, 256 and 576 patches, and a long prime. The
#: length before each is a product of radices.
PRIME_SHAPES: list[Shape] = [(8, 197, 768), (8, 257, 1024), (4, 577, 768), (2, 1009, 768)]
#: Small enough for the cores' caches, where no wait for memory hides conversions.
CACHED_SHAPES: list[Shape] = [(1, 50, 768), (1, 512, 768), (1, 1024, 512)]
BATCH_ONE: Shape = (1, 2048, 768)  # threads can only divide the one sequence


def random_lengths(count: int, longest: int, seed: int = 0) -> list[int]:
    """`count` lengths of sequences from 16 to `longest`, equally likely."""
    chance = random.Random(seed)
    return [chance.randint(16, longest) for _ in range(count)]


VARLEN: list[int] = random_lengths(64, 512)  # of one batch, at hidden 768
LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
TOKENS = {"cpu": 16384, "cuda": 65536}  # per call; at least the longest sequence

AWKWARD: list[Shape] = [
    (8, 509, 768),  # a prime length
    (4, 1000, 768),  # ragged: 2^3 5^3, not a multiple of the vector width
    (4, 1009, 768),  # a prime length
    (1, 128, 64),  # too small for two threads: the overhead of a call
    (8, 32, 64),
]
_SMALL = 1 << 14  # elements of x
_LARGEST = 1 << 40  # elements of x: 4 TiB in float32


def is_awkward(shape: Shape) -> bool:
    """Whether ours may be slower at this shape; plots show these shapes separately."""
    batch, seq, hidden = shape
    ragged = {seq for _, seq, hidden in AWKWARD if hidden == 768}
    return seq in ragged or batch * seq * hidden <= _SMALL


def label(shape: Shape) -> str:
    """`8x512x768` for (8, 512, 768)."""
    return "x".join(map(str, shape))


def parse(text: str) -> list[Shape]:
    """Parse shapes such as `8x512x768,2x2048x768`, without repetitions, in the given order.

    Raises:
        ValueError: a shape does not consist of three positive integers, or has over 2^40
            elements; the message quotes it.

    >>> parse("8x512x768,1x7x12")
    [(8, 512, 768), (1, 7, 12)]
    """
    found: list[Shape] = []
    for part in text.split(","):
        sizes = part.strip().split("x")
        if len(sizes) != 3 or not all(map(_is_size, sizes)):
            raise ValueError(f"{part.strip()!r}: expected batch x seq x hidden, such as 8x512x768")
        batch, seq, hidden = map(int, sizes)
        if batch * seq * hidden > _LARGEST:
            raise ValueError(f"{part.strip()!r}: expected at most 2^40 elements")
        found.append((batch, seq, hidden))
    return list(dict.fromkeys(found))


def _is_size(text: str) -> bool:
    return text.isdecimal() and len(text) < 100 and int(text) > 0


def equal_tokens(tokens: int, hidden: int = 768) -> list[Shape]:
    """A shape for each of `LENGTHS`, with the batch size that gives `tokens` tokens."""
    return [(tokens // seq, seq, hidden) for seq in LENGTHS if seq <= tokens]
