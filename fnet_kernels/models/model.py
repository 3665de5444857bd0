"""FNet without a head, and what all models share."""

from __future__ import annotations

import importlib
import os
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from fnet_kernels._ops.checks import kind
from fnet_kernels.encoder import FNetEncoder
from fnet_kernels.mixers.attention import SelfAttention
from fnet_kernels.models.config import ACTIVATIONS, FNetConfig
from fnet_kernels.models.embeddings import FNetEmbeddings, dense
from fnet_kernels.models.outputs import FNetModelOutput

_Model = TypeVar("_Model", bound="FNetPreTrained")


class FNetPreTrained(nn.Module):
    """Base class of all models: the configuration, tied weights, loading and saving."""

    #: Names of parameters that are others with `tie_word_embeddings`: {name: the other's name}.
    tied_weights: ClassVar[dict[str, str]] = {}

    def __init__(self, config: FNetConfig) -> None:
        super().__init__()
        if not isinstance(config, FNetConfig):
            raise TypeError(
                f"{type(self).__name__}: config must be a fnet_kernels.models.FNetConfig, got"
                f" {kind(config)} (FNetConfig.from_dict(config.to_dict()) converts transformers')"
            )
        self.config = config
        self.register_load_state_dict_post_hook(_tie)

    @classmethod
    def from_pretrained(
        cls: type[_Model], source: str | os.PathLike[str], **options: Any
    ) -> _Model:
        """Load a model from a directory or hub name; see `fnet_kernels.models.checkpoint`."""
        model: _Model = _checkpoint().load(cls, source, **options)
        return model

    def save_pretrained(self, directory: str | os.PathLike[str], **options: Any) -> None:
        """Write `config.json` and `model.safetensors` into `directory`."""
        _checkpoint().save(self, directory, **options)

    def tie_weights(self) -> None:
        """Make the parameters of `tied_weights` one each, if the configuration says so.

        Construction, `load_state_dict` and moves such as `to` and `to_empty` do this themselves.
        """
        if not self.config.tie_word_embeddings:
            return
        for name, source in self.tied_weights.items():
            path, _, attribute = name.rpartition(".")
            owner, shared = self.get_submodule(path), self.get_parameter(source)
            if attribute in owner._parameters:  # not if the module is wrapped
                setattr(owner, attribute, shared)

    def _apply(self: _Model, fn: Any, recurse: bool = True) -> _Model:
        super()._apply(fn, recurse)
        self.tie_weights()  # a move from the meta device makes new parameters
        return self

    @property
    def _body(self) -> FNetModel:
        """The model without its head."""
        body: FNetModel = self.fnet
        return body

    @property
    def gradient_checkpointing(self) -> bool:
        """In training, keep the input of each layer and compute the rest again in the backward
        pass. May change at any time."""
        return self._body.encoder.gradient_checkpointing

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, value: bool) -> None:
        self._body.encoder.gradient_checkpointing = value

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of words."""
        return self._body.embeddings.word_embeddings

    def set_input_embeddings(self, embeddings: nn.Embedding) -> None:
        """Replace the embedding of words, and the output weights tied to it.

        Raises:
            ValueError: its weight has another shape than `[vocab_size, hidden_size]`.
        """
        expected = (self.config.vocab_size, self.config.hidden_size)
        if tuple(embeddings.weight.shape) != expected:
            raise ValueError(
                f"{type(self).__name__}: the weight of the input embeddings must have shape"
                f" {expected}, [vocab_size, hidden_size]; got {tuple(embeddings.weight.shape)}"
            )
        self._body.embeddings.word_embeddings = embeddings
        self.tie_weights()


def _checkpoint() -> Any:
    return importlib.import_module("fnet_kernels.models.checkpoint")


def _tie(model: FNetPreTrained, _: Any) -> None:
    model.tie_weights()  # load_state_dict(assign=True) makes new parameters


class FNetModel(FNetPreTrained):
    def __init__(self, config: FNetConfig) -> None:
        super().__init__(config)
        self.embeddings = FNetEmbeddings(config)
