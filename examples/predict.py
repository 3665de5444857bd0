"""Classify texts with the model of a finished run of `examples.classify`.

    python -m examples.predict runs/r8 "Oil prices rose after OPEC met."
    python -m examples.predict runs/r8 < texts.txt

A line of the input is a text, or for a run on pairs two texts with a tab between them. A line of
the output is the label, its probability and the text.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from examples.corpora.dataset import Split
from examples.training import encode
from examples.training.batches import pad
from examples.training.encoded import encode_split
from examples.training.model import arguments, padded_length, pooling_of, unregistered
from fnet_kernels.cli.pipes import pipe_may_close
from fnet_kernels.models import FNetForSequenceClassification

BATCH = 32


class Predictor:
    """The classifier of a finished run.

    Args:
        run: folder of the run, its `--out`.
        device: of the model.

    Attributes:
        labels: the names of the classes; empty for a regression.
        pairs: whether the run had pairs of texts; None if an older run did not note it.
    """

    def __init__(self, run: str, device: str = "cpu") -> None:
        folder = Path(run) / "model"
        if not (folder / encode.FILE).exists():
            raise SystemExit(f"{folder} has no {encode.FILE}, which a finished run on texts writes")
        self.encoder, self._device = encode.read(folder), device
        about = json.loads((folder / encode.FILE).read_text(encoding="utf-8"))
        self.labels = about.get("labels")
        if self.labels is None:
            raise SystemExit(f"{folder} is of a run that has no classes")
        kind = _kind(folder / "config.json")
        if not kind.endswith("ForSequenceClassification"):
            name = kind.replace("FNetMixer", "FNet")  # with other mixers than Fourier
            raise SystemExit(f"{folder} holds {name}; expected FNetForSequenceClassification")
        self.pairs: bool | None = about.get("pairs")
        self._seq = about.get("seq")
        try:
            self.model = FNetForSequenceClassification.from_pretrained(folder, device=device)
        except (FileNotFoundError, ValueError) as error:
            raise SystemExit(
                f"{folder}: {error}{unregistered(folder, '--import MODULE')}"
            ) from None

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> torch.Tensor:
        """The probability of each class, `[len(texts), classes]`, or the values of a regression.

        Args:
            texts: the texts, or the first ones of pairs.
            pairs: the second text of each.
        """
        config = self.model.config
        seq = self._seq or config.max_position_embeddings
        split = Split(texts, [0] * len(texts), pairs)
        examples = encode_split(split, self.encoder, seq, pooling_of(config))
        found = []
        for rows in np.split(np.arange(len(texts)), range(BATCH, len(texts), BATCH)):
            batch = pad(examples, rows, padded_length(config, seq), self._device)
            logits = self.model(batch.ids, **arguments(config, batch, False)).logits
            found.append(logits.softmax(-1) if self.labels else logits)
        return torch.cat(found)


def _kind(path: Path) -> str:
    """The class of the model with this configuration."""
    try:
        (kind,) = json.loads(path.read_text(encoding="utf-8"))["architectures"]
        return str(kind)
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        raise SystemExit(f"{path} is not the configuration of a model: {error}") from None


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument("--import", dest="module", help="module that registers the run's mixer")
    parser.add_argument("texts", nargs="*", help="texts; by default the lines of the input")
    options = parser.parse_intermixed_args(words)
    if options.module is not None:
        try:
            import_module(options.module)
        except ImportError as error:
            raise SystemExit(f"--import: cannot import {options.module}: {error}") from None
    predictor = Predictor(options.run)
    # Not splitlines, which also splits at characters that a line may have, such as U+2028.
    lines = options.texts or [line.rstrip("\n") for line in sys.stdin]
    if not lines:
        return
    split = predictor.pairs is not False
    parts = [line.split("\t", 1) if split else [line] for line in lines]
    if predictor.pairs and any(len(part) == 1 for part in parts):
        raise SystemExit("each line must have a tab between the two texts of a pair")
    if len({len(part) for part in parts}) > 1:
        raise SystemExit("each line must have a tab between two texts, or none must have one")
    texts, *seconds = zip(*parts, strict=True)
    for line, values in zip(lines, predictor(texts, *seconds), strict=True):
        best = int(values.argmax())
        answer = f"{predictor.labels[best]}\t{values[best]:.3f}" if predictor.labels else values[0]
        print(f"{answer}\t{line}")


if __name__ == "__main__":
    with pipe_may_close():
        main()
