"""The shapes that the benchmarks speak of: (batch, seq, hidden)."""

Shape = tuple[int, int, int]

BARS: list[Shape] = [
    (8, 512, 768),  # FNet-Base at the paper's length
    (2, 2048, 768),  # longer text, few sequences
    (4, 512, 1024),  # FNet-Large: both lengths are powers of two
    (2, 4096, 768),  # x alone is 25 MB: past most caches
]
BATCH_ONE: Shape = (1, 2048, 768)  # nothing to share out but the inside of one sequence


def label(shape: Shape) -> str:
    """`8x512x768` for (8, 512, 768)."""
    return "x".join(map(str, shape))
