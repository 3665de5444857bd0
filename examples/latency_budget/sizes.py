"""The models of the study: a mixer, a depth and a width.

defines: Size, TRANSFORMER, EQUAL, BAG, candidates
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from examples.training.encode import Bytes
from examples.training.model import configuration
from examples.training.options import TextOptions, parse
from fnet_kernels.models import FNetForSequenceClassification

#: Classes of the models that are timed; the head of other counts takes the same time.
_CLASSES = 3


@dataclass(frozen=True)
class Size:
    """A model; its feed-forward networks are twice as wide, and its heads have 32 channels."""

    name: str
    mixer: str
    layers: int
    hidden: int

    def options(self) -> str:
        """The options of examples.classify."""
        return (
            f"--mixer {self.mixer} --layers {self.layers} --hidden {self.hidden}"
            f" --intermediate {2 * self.hidden} --heads {max(1, self.hidden // 32)} --pooling mean"
        )

    def build(self, seq: int) -> FNetForSequenceClassification:
        """The model for bytes that examples.classify trains, in evaluation mode."""
        words = f"--data bytes --units bytes --seq {seq} {self.options()}".split()
        options, _ = parse(TextOptions, "", words)
        config = configuration(options, Bytes.vocabulary, _CLASSES)
        return FNetForSequenceClassification(config).eval()

    def weight(self) -> int:
        """Parameters of the layers: what "largest" means. Embeddings cost no time that matters."""
        model = self.build(seq=8)
        return sum(p.numel() for p in model.fnet.encoder.parameters())


#: The usual small model of the Long Range Arena, with attention, and the FNet of its size.
TRANSFORMER = Size("Transformer", "attention", 2, 64)
EQUAL = Size("FNet of equal shape", "fourier", 2, 64)
#: A floor for both, which mixes no tokens. It is trained beside them and not timed.
BAG = Size("bag of tokens", "none", 2, 64)


def candidates(depths: Iterable[int], widths: Iterable[int]) -> list[Size]:
    """FNets of all depths and widths, the largest first."""
    sizes = [Size("largest FNet", "fourier", layers, d) for d in widths for layers in depths]
    return sorted(sizes, key=lambda size: -size.weight())


def tokens(batch: int, seq: int, device: str = "cpu") -> Tensor:
    """Random bytes, `[batch, seq]`."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(8, Bytes.vocabulary, (batch, seq), generator=generator).to(device)
