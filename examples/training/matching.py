"""Two texts that one encoder reads apart: the towers of Long Range Arena's retrieval.

defines: FNetForMatching, Matching, Towers, encode_towers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from examples.corpora.dataset import Split
from examples.corpora.errors import DataError
from examples.training.batches import Batch, pad
from examples.training.classification import Classification
from examples.training.encode import Encoder
from examples.training.encoded import Encoded, encode_split
from fnet_kernels.models import FNetConfig, FNetModel
from fnet_kernels.models.outputs import FNetOutput
from fnet_kernels.models.pretrained import FNetPreTrained


class FNetForMatching(FNetPreTrained):
    """A classifier of [u, v, u * v, u - v], where u and v are the pooled outputs for two texts.

    Shape: the input is as in `FNetModel`, with 2 n rows: the first texts and then the second ones.
    `logits` are `[n, num_labels]`.
    """

    def __init__(self, config: FNetConfig) -> None:
        super().__init__(config)
        self.fnet = FNetModel(config)
        self.classifier = nn.Sequential(
            nn.Linear(4 * config.hidden_size, config.intermediate_size),
            nn.ReLU(),
            nn.Linear(config.intermediate_size, config.num_labels),
        )

    def forward(self, input_ids: Tensor, **given: Any) -> FNetOutput:
        u, v = self.fnet(input_ids, **given).pooler_output.chunk(2)
        return FNetOutput(None, self.classifier(torch.cat([u, v, u * v, u - v], -1)))


@dataclass(frozen=True)
class Towers(Encoded):
    """Pairs of texts, each encoded alone; as `Encoded`, it holds the first ones."""

    texts: tuple[Encoded, Encoded]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The tokens of both texts."""
        lengths: NDArray[np.int64] = self.texts[0].lengths + self.texts[1].lengths
        return lengths


def encode_towers(split: Split, encoder: Encoder | None, seq: int, pooling: str) -> Towers:
    """Encode each text of a pair as `encode_split` does a single text.

    Raises:
        DataError: the examples are single texts.
    """
    if split.pairs is None:
        raise DataError("retrieval needs a data set of pairs of texts; this one has single texts")
    first, other = (
        encode_split(Split(texts, split.labels), encoder, seq, pooling)
        for texts in (split.inputs, split.pairs)
    )
    return Towers(first.ids, first.offsets, None, first.labels, (first, other))


class Matching(Classification):
    """What the loop asks of a task, for `FNetForMatching`; its splits are `Towers`."""

    def _batch(self, split: str, rows: Any) -> Batch:
        towers = self._splits[split]
        assert isinstance(towers, Towers)
        longest = max(int(texts.lengths[rows].max()) for texts in towers.texts)
        seq = self._seq or longest
        u, v = (pad(texts, rows, seq, self._device) for texts in towers.texts)
        ids, mask = torch.cat([u.ids, v.ids]), torch.cat([u.mask, v.mask])
        return Batch(ids, None, mask, u.lengths + v.lengths, u.labels)
