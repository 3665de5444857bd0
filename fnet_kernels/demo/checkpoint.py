"""The demo's model: FNet from `transformers`, with random weights or from a checkpoint.

defines: Loaded, base_config, load
"""

from __future__ import annotations

import contextlib
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from fnet_kernels.demo.inputs import BYTE_VOCABULARY, Unusable, byte_ids


@dataclass(frozen=True)
class Loaded:
    """A stock FNetModel in evaluation mode, the token ids of the text, and what they are."""

    model: nn.Module
    ids: list[int]
    weights: str  # for people: where the weights come from
    tokens: str  # for people: how the text became ids


def base_config(positions: int) -> Any:
    """FNet-Base, as `transformers` defines it, with at least 512 positions."""
    from transformers import FNetConfig

    return FNetConfig(max_position_embeddings=max(512, positions))


def load(checkpoint: str | None, text: str, positions: int) -> Loaded:
    """A model with random weights (seed 0), or the checkpoint; and the text as its token ids.

    Raises:
        Unusable: `transformers` is missing, or the checkpoint cannot be loaded or is no FNet.
    """
    try:
        from transformers import FNetModel
    except ImportError as error:
        raise Unusable(
            "the demo runs a Hugging Face model: `pip install 'fnet_kernels[hf]'` or transformers"
        ) from error
    with _quiet_transformers():
        if checkpoint is None:
            torch.manual_seed(0)
            model: Any = FNetModel(base_config(positions))
            about = "random weights (no --checkpoint was given)"
            return Loaded(model.eval(), byte_ids(text), about, "bytes of the text")
        return _from_checkpoint(checkpoint, text)


def _from_checkpoint(checkpoint: str, text: str) -> Loaded:
    from transformers import AutoConfig, FNetModel

    if not Path(checkpoint).is_dir():
        _check_reachable(checkpoint)
    try:
        config = AutoConfig.from_pretrained(checkpoint)
        if config.model_type != "fnet":
            raise Unusable(f"--checkpoint: {checkpoint} is a {config.model_type} model, not FNet")
        if config.use_tpu_fourier_optimizations:
            raise Unusable(
                f"--checkpoint: {checkpoint} has use_tpu_fourier_optimizations set: "
                "its layers use another path, which is left alone"
            )
        model: Any = FNetModel.from_pretrained(checkpoint, dtype=torch.float32)
        model.eval()
    except Unusable:
        raise
    except Exception as error:  # each kind of damage raises its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unusable(f"--checkpoint: cannot load {checkpoint}: {reason}") from error
    ids = _tokenize(checkpoint, text)
    about = f"weights from {checkpoint}"
    if ids and max(ids) < config.vocab_size:
        return Loaded(model, ids, about, "the checkpoint's tokenizer")
    if config.vocab_size < BYTE_VOCABULARY:
        raise Unusable(
            f"--checkpoint: {checkpoint} has no tokenizer, and its vocabulary of "
            f"{config.vocab_size} is too small for bytes (needs {BYTE_VOCABULARY})"
        )
    return Loaded(model, byte_ids(text), about, "bytes of the text (no tokenizer there)")


def _tokenize(checkpoint: str, text: str) -> list[int]:
    """Ids by the checkpoint's tokenizer; none where it has no tokenizer."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    except Exception:  # each missing file and library raises its own kind
        return []
    # Without tokenizer files transformers makes one with an empty vocabulary: all unknown.
    return ids if set(ids) - {tokenizer.unk_token_id} else []


def _check_reachable(checkpoint: str) -> None:
    """Say at once that a name is neither a folder, nor cached, nor available on the hub.

    The hub's client would retry for half a minute first.
    """
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    missing = f"--checkpoint: {checkpoint} is not a folder"
    try:
        if isinstance(try_to_load_from_cache(checkpoint, "config.json"), str):
            return
    except HFValidationError as error:
        raise Unusable(f"{missing}, nor a valid model name") from error
    if urllib.request.getproxies():  # then names are the proxy's business
        return
    host = urlparse(constants.ENDPOINT).hostname or ""
    try:
        socket.getaddrinfo(host, 443)
    except OSError as error:
        raise Unusable(f"{missing}, nor in the local cache, and {host} is out of reach") from error


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bars or reports of unused heads in the middle of ours."""
    from transformers import utils

    logging: Any = utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
