"""What all models share: the configuration, tied weights, loading and saving.

defines: FNetPreTrained, same_values
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor, nn

from fnet_kernels._initial import Initialised
from fnet_kernels._ops.checks import check_bool, kind
from fnet_kernels.models.config import FNetConfig, check_config

if TYPE_CHECKING:
    from fnet_kernels.models.model import FNetModel

_Model = TypeVar("_Model", bound="FNetPreTrained")


class FNetPreTrained(Initialised):
    """Base class of all models: the configuration, tied weights, loading and saving."""

    #: Names of parameters that are others with `tie_word_embeddings`: {name: the other's name}.
    tied_weights: ClassVar[dict[str, str]] = {}

    def __init__(self, config: FNetConfig) -> None:
        super().__init__()
        check_config(type(self).__name__, config)
        self.config = config
        self.register_load_state_dict_pre_hook(_check_ties)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_tie_loaded)  # type: ignore[no-untyped-call]

    @classmethod
    def from_pretrained(
        cls: type[_Model], source: str | os.PathLike[str], **options: Any
    ) -> _Model:
        """Load a model from a directory or hub name; see `fnet_kernels.models.checkpoint`."""
        from fnet_kernels.models import checkpoint

        return checkpoint.load(cls, source, **options)

    def save_pretrained(self, directory: str | os.PathLike[str], **options: Any) -> None:
        """Write `config.json` and `model.safetensors` into `directory`.

        `state_dict` replaces the tensors of the model; see `fnet_kernels.models.checkpoint`.
        """
        from fnet_kernels.models import checkpoint

        checkpoint.save(self, directory, **options)

    def tie_weights(self) -> None:
        """Tie the parameters listed in `tied_weights`, if the configuration says so.

        Construction and `load_state_dict` do this themselves. Moves such as `to` and `to_empty`
        keep tied parameters tied.
        """
        if self.config.tie_word_embeddings:
            self._tie(self.tied_weights)

    def _tie(self, pairs: Mapping[str, str]) -> None:
        for names in pairs.items():
            (copies, name), (shared, source) = map(self._slot, names)
            if name in copies and source in shared:  # not if a module is wrapped or parametrized
                copies[name] = shared[source]

    def _tied(self) -> dict[str, str]:
        """The entries of `tied_weights` that are tied now."""

        def parameter(name: str) -> nn.Parameter | None:
            owner, last = self._slot(name)
            return owner.get(last)

        return {
            name: source
            for name, source in self.tied_weights.items()
            if parameter(name) is not None and parameter(name) is parameter(source)
        }

    def _slot(self, name: str) -> tuple[dict[str, nn.Parameter | None], str]:
        """The parameters of the module that owns `name`, and the name there."""
        path, _, last = name.rpartition(".")
        return self.get_submodule(path)._parameters, last

    def _apply(self: _Model, fn: Any, recurse: bool = True) -> _Model:
        tied = self._tied()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._tie(tied)  # a move from the meta device makes new parameters
        return self

    @property
    def _body(self) -> FNetModel:
        """The model without its head."""
        return cast("FNetModel", self.fnet)

    @property
    def gradient_checkpointing(self) -> bool:
        """In training, keep the input of each layer and compute the rest again in the backward
        pass. May change at any time."""
        return self._body.encoder.gradient_checkpointing

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, value: bool) -> None:
        check_bool(type(self).__name__, "gradient_checkpointing", value)
        self._body.encoder.gradient_checkpointing = value

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of words."""
        return self._body.embeddings.word_embeddings

    def set_input_embeddings(self, embeddings: nn.Embedding) -> None:
        """Replace the embedding of words, and the output weights tied to it.

        Raises:
            TypeError: it is not an `nn.Embedding`.
            ValueError: its weight has another shape than `[vocab_size, hidden_size]`.
        """
        if not isinstance(embeddings, nn.Embedding):
            raise TypeError(
                f"{type(self).__name__}: the input embeddings must be a torch.nn.Embedding, got"
                f" {kind(embeddings)}"
            )
        expected = (self.config.vocab_size, self.config.hidden_size)
        if tuple(embeddings.weight.shape) != expected:
            raise ValueError(
                f"{type(self).__name__}: the weight of the input embeddings must have shape"
                f" {expected}, [vocab_size, hidden_size]; got {tuple(embeddings.weight.shape)}"
            )
        self._body.embeddings.word_embeddings = embeddings
        self.tie_weights()


def _check_ties(model: FNetPreTrained, state: dict[str, Any], prefix: str, *others: Any) -> None:
    """Complete the names of a tied parameter, and refuse two weights for it.

    Files have one of its names. Of two weights, the second would overwrite the first.
    """
    if not model.config.tie_word_embeddings:
        return
    errors: list[str] = others[-1]
    for name, source in model.tied_weights.items():
        copied, shared = state.get(prefix + name), state.get(prefix + source)
        if copied is None and shared is not None:
            state[prefix + name] = shared
        elif shared is None and copied is not None:
            state[prefix + source] = copied
        elif _differ(copied, shared):
            errors.append(
                f"{prefix}{name} differs from {prefix}{source}, which a configuration with"
                " tie_word_embeddings=True ties"
            )


def _differ(a: Any, b: Any) -> bool:
    """Whether both are tensors of one kind and shape with other values."""
    if a is b or not (type(a) is type(b) and type(a) in (Tensor, nn.Parameter)):
        return False
    if a.is_meta or (a.device, a.dtype, a.shape) != (b.device, b.dtype, b.shape):
        return False
    return a.data_ptr() != b.data_ptr() and not same_values(a, b)


def same_values(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors of one shape and dtype are equal, NaN where the other one has it."""
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def _tie_loaded(model: FNetPreTrained, _: Any) -> None:
    model.tie_weights()  # load_state_dict(assign=True) makes new parameters
