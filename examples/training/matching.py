"""Two texts that one encoder reads apart: the towers of Long Range Arena's retrieval.

defines: FNetForMatching, Matching
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from examples.training.batches import Batch, pad
from examples.training.classification import Classification
from examples.training.encoded import Encoded
from examples.training.options import Options
from fnet_kernels.models import FNetConfig, FNetModel
from fnet_kernels.models.model import FNetPreTrained
from fnet_kernels.models.outputs import FNetOutput


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


class Matching(Classification):
    """What the loop asks of a task, for `FNetForMatching`.

    Args:
        seconds: the second texts of each split; the other arguments are as in `Classification`.
    """

    def __init__(
        self,
        config: FNetConfig,
        options: Options,
        splits: Mapping[str, Encoded],
        seconds: Mapping[str, Encoded],
        metrics: tuple[str, ...],
        device: torch.device,
    ) -> None:
        super().__init__(config, options, splits, metrics, device)
        self._seconds = seconds
        self._lengths = splits["train"].lengths + seconds["train"].lengths

    def _batch(self, split: str, rows: Any) -> Batch:
        both = self._splits[split], self._seconds[split]
        longest = max(int(texts.lengths[rows].max()) for texts in both)
        u, v = (pad(texts, rows, self._seq or longest, self._device) for texts in both)
        ids, mask = torch.cat([u.ids, v.ids]), torch.cat([u.mask, v.mask])
        return Batch(ids, None, mask, u.lengths + v.lengths, u.labels)
