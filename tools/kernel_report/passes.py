"""The passes that the simulator runs for the kernel report, and the bytes that each must move.

defines: Kind, Pass, KINDS, PASSES
"""

from __future__ import annotations

from dataclasses import dataclass

SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Kind:
    """What a pass computes.

    Attributes:
        tensors: how often its kernels read or write a tensor as large as x, together.
        slack: the share of bytes beyond the minimum that it may move.
        backward: the backward pass; otherwise the forward pass.
        rms, norm_first, residual: RMSNorm, pre-norm, a residual that is not x. By default LayerNorm
            of x + M(x).
        lengths: those of several sequences; by default there is one sequence.
        padded: zeros extend each sequence, and follow it in the results. The pass keeps what the
            backward pass reads.
    """

    tensors: int
    slack: float = 0.05
    backward: bool = False
    rms: bool = False
    norm_first: bool = False
    residual: bool = False
    lengths: tuple[int, ...] = ()
    padded: bool = False


#: By name, which begins with the block.
KINDS = {
    "": Kind(3, slack=0.03),
    "backward": Kind(6, backward=True),
    "RMSNorm": Kind(3, slack=0.03, rms=True),
    "RMSNorm backward": Kind(6, rms=True, backward=True),
    "residual": Kind(3, slack=0.03, residual=True),
    "pre-norm": Kind(4, norm_first=True),
    "pre-norm backward": Kind(6, norm_first=True, backward=True),
    "pre-norm RMSNorm": Kind(4, norm_first=True, rms=True),
    "pre-norm RMSNorm backward": Kind(6, norm_first=True, rms=True, backward=True),
    "packed": Kind(3, lengths=(512, 384)),
    "padded": Kind(4, lengths=(512, 384), padded=True),
}


@dataclass(frozen=True)
class Pass:
    """A pass of one kind over sequences of up to `seq` rows."""

    seq: int
    hidden: int
    dtype: str
    kind: str = ""

    @property
    def what(self) -> Kind:
        return KINDS[self.kind]

    @property
    def shape(self) -> str:
        return f"{self.seq}x{self.hidden} {self.dtype}"

    @property
    def name(self) -> str:
        return f"{self.shape}, {self.kind or 'forward'}"

    def kernel(self, name: str) -> str:
        """The key of a kernel's figures. Forward and backward pass of FNet's own block share it."""
        shared = self.kind in ("", "backward")
        return f"{name} {self.shape}" if shared else f"{name} {self.name}"

    @property
    def lengths(self) -> tuple[int, ...]:
        return self.what.lengths or (self.seq,)

    @property
    def elements(self) -> int:
        """The elements of x."""
        return sum(self.lengths) * self.hidden

    @property
    def transformed(self) -> int:
        """The same with the zeros that extend sequences."""
        return self.seq * len(self.lengths) * self.hidden if self.what.padded else self.elements

    @property
    def cleared_bytes(self) -> int:
        """The bytes of y, normalized and rstd past the lengths."""
        row = 2 * self.hidden * SIZES[self.dtype] + 4
        return (self.transformed - self.elements) // self.hidden * row

    @property
    def least_bytes(self) -> int:
        """The count of docs/cuda.md: tensors, and half of the spectrum in float32, twice."""
        tensors = self.what.tensors * SIZES[self.dtype] * self.elements
        return tensors + 2 * 2 * self.transformed + self.cleared_bytes


SHAPES = [(512, 768), (2048, 768), (4096, 768), (512, 1024), (8192, 768)]
_WIDE = ("bfloat16", "float32")
PASSES = [
    Pass(*shape, dtype, kind)
    for shape, dtype in [*((s, d) for s in SHAPES for d in _WIDE), ((512, 768), "float16")]
    for kind in ("", "backward")
]
PASSES += [
    Pass(512, 768, dtype, kind) for kind in KINDS if kind not in ("", "backward") for dtype in _WIDE
]
