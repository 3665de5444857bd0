"""The task of classify and of the Long Range Arena: a label for each example.

defines: Classification, describe, floors, labels_of
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from examples.corpora.dataset import Dataset
from examples.training import distributed
from examples.training.batches import Batch, Sampler, pad
from examples.training.encoded import Encoded
from examples.training.metrics import measure
from examples.training.model import arguments, padded_length
from examples.training.options import Options
from fnet_kernels.models import FNetConfig


def labels_of(dataset: Dataset) -> int:
    """The outputs of the classifier: one a class, or 1 for a regression."""
    return len(dataset.classes) or 1


def floors(dataset: Dataset) -> dict[str, float]:
    """The accuracy of the most frequent class of the training examples, on the test examples.

    Without test examples, on those of validation.
    """
    if not dataset.classes:
        return {}
    counts = np.bincount(np.asarray(dataset.train.labels), minlength=len(dataset.classes))
    judged = dataset.test if len(dataset.test.labels) else dataset.validation
    return {"majority": float((np.asarray(judged.labels) == counts.argmax()).mean())}


def describe(dataset: Dataset) -> dict[str, Any]:
    """What the header of the log says of the data."""
    splits = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    data = {
        "name": dataset.name,
        "sha256": dataset.sha256,
        "source": dataset.source,
        "classes": len(dataset.classes),
        "labels": list(dataset.classes),
        "pairs": dataset.train.pairs is not None,
        **{name: len(split.labels) for name, split in splits.items()},
    }
    return {"data": data, "floors": floors(dataset)}


class Classification:
    """What the loop asks of a task, for `FNetForSequenceClassification`.

    Args:
        config: of the model.
        options: the flags.
        splits: the examples of "train", "validation" and "test".
        metrics: names for `metrics.measure`.
        device: of the model.
    """

    def __init__(
        self,
        config: FNetConfig,
        options: Options,
        splits: Mapping[str, Encoded],
        metrics: tuple[str, ...],
        device: torch.device,
    ) -> None:
        self._config, self._options = config, options
        self._splits, self._metrics, self._device = splits, metrics, device
        self._lengths = splits["train"].lengths
        size = options.batch * distributed.processes()
        self._sampler = Sampler(self._lengths, size, options.seed)
        self.steps_per_epoch = self._sampler.steps_per_epoch
        self._seq = padded_length(config, options.seq)
        if not self.steps_per_epoch:
            raise SystemExit(
                f"--batch must be at most {len(self._lengths) // distributed.processes()}, as the"
                f" data has {len(self._lengths)} training examples; got {options.batch}"
            )

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """The output of the model for a batch, `[rows, classes]`."""
        given = arguments(self._config, batch, self._options.compile)
        logits: Tensor = model(batch.ids, **given).logits
        return logits

    def loss(self, model: nn.Module, step: int) -> tuple[Tensor, int]:
        """The loss of this process's part of a step, and the tokens of the whole step."""
        rows = self._sampler.rows(step)
        batch = self._batch("train", rows[distributed.rank() :: distributed.processes()])
        return self._criterion(self.logits(model, batch), batch.labels), int(
            self._lengths[rows].sum()
        )

    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """Loss and metrics of a split, empty if it has no examples."""
        lengths = self._splits[split].lengths
        # The longest first: what runs out of memory does so at once.
        order = np.argsort(-lengths, kind="stable")[distributed.rank() :: distributed.processes()]
        outputs, labels, loss = [], [], 0.0
        for start in range(0, len(order), self._options.batch):
            batch = self._batch(split, order[start : start + self._options.batch])
            logits = self.logits(model, batch).float()
            loss += float(self._criterion(logits, batch.labels)) * len(batch.labels)
            outputs.append(logits.squeeze(-1) if logits.size(-1) == 1 else logits.argmax(-1))
            labels.append(batch.labels)
        mine = (loss, _joined(outputs), _joined(labels))
        losses, predictions, truth = zip(*distributed.gather(mine), strict=True)
        if not len(lengths):
            return {}
        found = measure(self._metrics, np.concatenate(predictions), np.concatenate(truth))
        return {"loss": sum(losses) / len(lengths), **found}

    def _batch(self, split: str, rows: Any) -> Batch:
        return pad(self._splits[split], rows, self._seq, self._device)

    def _criterion(self, logits: Tensor, labels: Tensor) -> Tensor:
        if logits.size(-1) == 1:
            return nn.functional.mse_loss(logits.squeeze(-1).float(), labels.float())
        return nn.functional.cross_entropy(logits, labels)


def _joined(tensors: list[Tensor]) -> Any:
    return torch.cat(tensors).cpu().numpy() if tensors else np.zeros(0)
