"""Figures of the FNet paper (arXiv 2105.03824), from other machines and batch sizes.

defines: ABOUT, MODELS, tables
"""

from __future__ import annotations

from fnet_kernels._terminal import table

ABOUT = "as reported in arXiv 2105.03824, at 512 tokens, on other machines and batch sizes"

#: Milliseconds per batch by (model, pass): on V100, and on TPU v3 or None.
MODELS: dict[tuple[str, str], tuple[float, float | None]] = {
    ("BERT-Base", "training step"): (305, 213),
    ("FNet-Base", "training step"): (169, 128),
    ("BERT-Base", "inference"): (82, None),
    ("FNet-Base", "inference"): (46, None),
}
#: Milliseconds of the mixing sublayer alone in training by (size, sublayer): V100, TPU v3.
_SUBLAYERS = {
    ("Base", "self-attention"): (136, 76),
    ("Base", "Linear"): (36, 12),
    ("Base", "FNet"): (11, 8),
    ("Large", "self-attention"): (404, 212),
    ("Large", "FNet"): (18, 22),
}
#: GFLOPs per example.
_GFLOPS = {"BERT-Base": 98, "FNet-Base": 62}
_LENGTHS = (512, 1024, 2048, 4096, 8192)
#: Peak GPU memory in GB on Long Range Arena by length; None means out of memory.
_MEMORY = {
    "Transformer": (1.6, 4.0, 12.2, None, None),
    "FNet": (0.8, 1.3, 2.2, 3.9, 7.4),
}


def tables() -> str:
    """The paper's tables of speed and memory, for comparison with ours."""
    times = []
    for (size, name), (gpu, tpu) in _SUBLAYERS.items():
        attention = _SUBLAYERS[size, "self-attention"]
        ratios = [f"{attention[0] / gpu:.1f}x", f"{attention[1] / tpu:.1f}x"]
        times.append([f"{name}, {size}", str(gpu), str(tpu), *ratios])
    heads = ["mixing sublayer, training", "V100 ms", "TPU v3 ms", "attention / this, V100", "TPU"]
    memory = [
        [name, *("out of memory" if size is None else f"{size:.1f}" for size in sizes)]
        for name, sizes in _MEMORY.items()
    ]
    flops = ", ".join(f"{name} {count}" for name, count in _GFLOPS.items())
    return "\n\n".join(
        [
            f"The paper's figures, {ABOUT}:",
            table(heads, times),
            table(["GB of GPU memory, Long Range Arena, at", *map(str, _LENGTHS)], memory),
            f"GFLOPs per example: {flops}",
        ]
    )
