"""The task of pretrain: masked language modelling and next sentence prediction.

defines: Pretraining, floors
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from examples.training import distributed
from examples.training.batches import Batch, Rows, Sampler
from examples.training.encode import FIRST, PADDING, UNKNOWN
from examples.training.masking import IGNORED, mask_tokens
from examples.training.model import arguments
from examples.training.options import TextOptions, flag, positive, share
from examples.training.pieces import Pieces, pair
from fnet_kernels.models import FNetConfig


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(TextOptions):
    masked: float = flag(0.15, "share of the tokens to predict", read=share)
    most_masked: int = flag(80, "most tokens of an example to predict", read=positive)


def floors(train: Pieces, judged: Pieces) -> dict[str, float]:
    """The accuracy of an answer without context, and of chance.

    The answer is the token at the position asked about, which a tenth of them keep, or the most
    frequent training token for [MASK], which eight tenths become.
    """
    counts = np.bincount(train.ids[train.ids >= FIRST], minlength=FIRST + 1)
    plain = judged.ids[judged.ids >= FIRST]
    frequent = float((plain == counts.argmax()).mean()) if len(plain) else 0.0
    return {"masked_accuracy": 0.1 + 0.8 * frequent, "next_accuracy": 0.5}


def unknown_share(pieces: Pieces) -> float:
    """The share of words that the vocabulary lacks."""
    return float((pieces.ids == UNKNOWN).mean()) if len(pieces.ids) else 0.0


@dataclass(frozen=True)
class _Example:
    """A batch with what it is asked; `count` is of all processes together."""

    batch: Batch
    positions: Tensor
    words: Tensor
    count: int


class Pretraining:
    """What the loop asks of a task, for `FNetForPreTraining`.

    Args:
        config: of the model.
        options: the flags.
        splits: the documents of "train", "validation" and "test".
        device: of the model.
    """

    def __init__(
        self,
        config: FNetConfig,
        options: PretrainOptions,
        splits: Mapping[str, Pieces],
        device: torch.device,
    ) -> None:
        self._config, self._options, self._splits = config, options, splits
        self._device = device
        self._firsts = {name: pieces.firsts for name, pieces in splits.items()}
        size = options.batch * distributed.processes()
        train = self._firsts["train"]
        if not _has_others(splits["train"]):
            raise SystemExit("--data must have two documents of at least two tokens to train on")
        # No order by length: the second piece is not known yet.
        self._sampler = Sampler(np.zeros(len(train), np.int64), size, options.seed)
        self.steps_per_epoch = self._sampler.steps_per_epoch
        if not self.steps_per_epoch:
            raise SystemExit(
                f"--batch must be at most {len(train) // distributed.processes()}, as the data has"
                f" {len(train)} pairs of pieces of {(options.seq - 3) // 2} tokens; got"
                f" {options.batch}"
            )

    def loss(self, model: nn.Module, step: int) -> tuple[Tensor, int]:
        """The loss of this process's part of a step, and the tokens of the whole step."""
        rows = self._firsts["train"][self._sampler.rows(step)]
        example, tokens = self._examples("train", rows, (self._options.seed, 1, step))
        out = self._outputs(model, example)
        # Processes have different numbers of masked tokens: weight by them, as their mean is taken.
        words = cross_entropy(out[0], example.words, ignore_index=IGNORED, reduction="sum")
        follows = cross_entropy(out[1], example.batch.labels)
        return words * (distributed.processes() / max(example.count, 1)) + follows, tokens

    def evaluate(self, model: nn.Module, split: str) -> dict[str, float]:
        """Loss and accuracy of both tasks, for masks that are the same each time."""
        firsts, size = self._firsts[split], self._options.batch * distributed.processes()
        if not _has_others(self._splits[split]):
            return {}
        totals = np.zeros(6)
        for start in range(0, len(firsts), size):
            chance = (self._options.seed, 2, start)
            example, _ = self._examples(split, firsts[start : start + size], chance)
            if not len(example.batch.lengths):
                continue
            words, follows = (logits.float() for logits in self._outputs(model, example))
            asked, labels = example.words != IGNORED, example.batch.labels
            totals += [
                float(cross_entropy(words, example.words, ignore_index=IGNORED, reduction="sum")),
                int((words.argmax(-1) == example.words)[asked].sum()),
                int(asked.sum()),
                float(cross_entropy(follows, labels, reduction="sum")),
                int((follows.argmax(-1) == labels).sum()),
                len(labels),
            ]
        loss, right, asked_for, next_loss, next_right, examples = sum(distributed.gather(totals))
        found = {
            "masked_loss": loss / max(asked_for, 1),
            "masked_accuracy": right / max(asked_for, 1),
            "next_loss": next_loss / examples,
            "next_accuracy": next_right / examples,
        }
        return {"loss": found["masked_loss"] + found["next_loss"], **_floats(found)}

    def _outputs(self, model: nn.Module, example: _Example) -> tuple[Tensor, Tensor]:
        """The logits of the masked positions, `[rows * k, vocabulary]`, and of what follows."""
        given = arguments(self._config, example.batch, self._options.compile)
        out: Any = model(example.batch.ids, masked_positions=example.positions, **given)
        return out.prediction_logits.flatten(0, 1), out.seq_relationship_logits

    def _examples(self, split: str, rows: Rows, seed: tuple[int, ...]) -> tuple[_Example, int]:
        """Make the examples of all processes, and keep those of this one."""
        chance = np.random.default_rng(seed)
        options, device = self._options, self._device
        ids, types, labels = pair(self._splits[split], rows, chance, options.seq)
        lengths = (ids != PADDING).sum(1)
        ids, positions, words = mask_tokens(
            ids, chance, self._config.vocab_size, options.masked, options.most_masked
        )
        own = slice(distributed.rank(), None, distributed.processes())
        mask = np.arange(options.seq) < lengths[own, None]
        arrays = (ids, types, positions, words, labels)
        tensors = [torch.from_numpy(array[own].copy()).to(device) for array in arrays]
        batch = Batch(
            tensors[0],
            tensors[1],
            torch.from_numpy(mask).to(device),
            lengths[own].tolist(),
            tensors[4],
        )
        asked = int((words != IGNORED).sum())
        example = _Example(batch, tensors[2], tensors[3].flatten(), asked)
        return example, int(lengths.sum())


def _has_others(pieces: Pieces) -> bool:
    """Whether two documents have two pieces."""
    return len(np.unique(pieces.document[pieces.firsts])) > 1


def _floats(values: dict[str, Any]) -> dict[str, float]:
    """The values as floats of Python, which JSON takes."""
    return {name: float(value) for name, value in values.items()}
