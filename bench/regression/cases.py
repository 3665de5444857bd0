"""What the regression gate times: shapes, dtypes, passes and blocks.

defines: Case, CASES, POST_NORM, VARLEN
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.contestants.blocks import PRE_NORM, Block
from bench.contestants.setting import EPS, Sublayer
from bench.measure.timing import definition
from bench.shapes import Shape, label
from bench.varlen import PACKED, mixes
from fnet_kernels import fused_fourier_mix


def _post_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return fused_fourier_mix(x, weight, bias, EPS)


LENGTHS = (37, 512, 128, 300, 47)  # of the packed sequences in x of shape [1, 1024, hidden]


def _varlen(name: str) -> Sublayer:
    _, mix = mixes(LENGTHS)[name]
    return lambda x, weight, bias: mix(x[0], weight, bias)[None]


POST_NORM = Block("post-norm", _post_norm, definition)
VARLEN = Block("varlen", _varlen(PACKED), _varlen("formula"))


@dataclass(frozen=True)
class Case:
    """A shape (batch, seq, hidden), a dtype, a key of `timing.DIRECTIONS` and a block."""

    shape: Shape
    dtype: torch.dtype = torch.float32
    direction: str = "forward"
    block: Block = POST_NORM

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        block = "" if self.block is POST_NORM else f", {self.block.name}"
        return f"{label(self.shape)} {dtype} {self.direction}{block}"


CASES = [
    Case((1, 128, 768)),
    Case((2, 128, 256)),
    Case((1, 256, 512)),
    Case((1, 512, 768)),  # FNet-Base
    Case((1, 512, 1024)),  # FNet-Large
    Case((1, 1024, 256)),
    Case((1, 2048, 192)),  # long sequence, small hidden
    Case((2, 105, 120)),  # factors 3, 5 and 7
    Case((8, 32, 64)),  # mostly overhead
    Case((1, 197, 768)),  # Rader: a vision transformer with a class token
    Case((2, 359, 96)),  # Bluestein
    Case((4096, 3, 32)),  # a sequence in each lane
    Case((8, 512, 7)),  # fewer columns than lanes
    Case((1, 16384, 8)),  # a long axis in four steps
    Case((1, 5003, 4)),  # a long prime: a convolution in parts
    Case((1, 512, 768), torch.bfloat16),
    Case((1, 512, 768), direction="both"),
    Case((1, 256, 512), block=PRE_NORM),
    Case((1, 1024, 256), block=VARLEN),
]
