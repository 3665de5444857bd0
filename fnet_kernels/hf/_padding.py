# mypy: disable-error-code="no-untyped-call"
"""The patched classes between a transformers model and its layers. Imports `transformers`.

They hand down what `attention_mask` says. Like the layers, modules change their class; an
`FNetModel` also keeps its padding, in `_fnet_padding`.

defines: is_model, pad_as, padding_of, why_not_pad, and PaddedFNetModel, PaddedFNetForMaskedLM, ...
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers.models.fnet import modeling_fnet as stock

from fnet_kernels._padding import Padding
from fnet_kernels._sequences import Packed, Sequences
from fnet_kernels.hf._layer import altered, derives
from fnet_kernels.hf._sequences import (
    Having,
    forward_of_encoder,
    forward_of_head,
    forward_of_model,
)

_ATTRIBUTE = "_fnet_padding"


def padding_of(model: nn.Module) -> Padding:
    """The padding of an `FNetModel`, patched or not."""
    padding: Padding = vars(model).get(_ATTRIBUTE, Padding())
    return padding


class PaddedFNetLayer(stock.FNetLayer):
    """`FNetLayer` that hands sequences to its transform."""

    def forward(self, hidden_states: Tensor, sequences: Sequences | None = None) -> Any:
        given = {} if sequences is None else {"sequences": sequences}
        parts: dict[str, Any] = {"fourier": partial(self.fourier, **given)}
        if isinstance(sequences, Packed):  # any number of tokens, which no chunks need divide
            parts["chunk_size_feed_forward"] = 0
        layer: Any = Having(self, **parts)
        return stock.FNetLayer.forward(layer, hidden_states)


class PaddedFNetEncoder(stock.FNetEncoder):
    """`FNetEncoder` whose layers take sequences."""

    forward = forward_of_encoder


def _patched(base: type[nn.Module], forward: Any) -> type[nn.Module]:
    """A subclass with another `forward`, and with the name, which transformers saves and reads."""
    members = {
        "forward": forward,
        "__module__": __name__,
        "__qualname__": f"Padded{base.__name__}",
        "__doc__": f"`{base.__name__}` that hands `attention_mask` to its layers.",
    }
    return type(base.__name__, (base,), members)


#: By the class of transformers.
PADDED: dict[type[nn.Module], Any] = {
    stock.FNetLayer: PaddedFNetLayer,
    stock.FNetEncoder: PaddedFNetEncoder,
    stock.FNetModel: _patched(stock.FNetModel, forward_of_model(padding_of, masked=False)),
} | {
    base: _patched(base, forward_of_head(base, padding_of))
    for base in (
        stock.FNetForPreTraining,
        stock.FNetForMaskedLM,
        stock.FNetForNextSentencePrediction,
        stock.FNetForSequenceClassification,
        stock.FNetForMultipleChoice,
        stock.FNetForTokenClassification,
        stock.FNetForQuestionAnswering,
    )
}
# Pickles look classes up in their module.
globals().update({cls.__qualname__: cls for cls in PADDED.values()})


def is_model(module: nn.Module) -> bool:
    """Whether `module` is an `FNetModel`."""
    return derives(type(module), stock.FNetModel)


def why_not_pad(module: nn.Module) -> str | None:
    """Why `module` cannot hand lengths down, if it is between a model and its layers."""
    for base, padded in PADDED.items():
        if derives(type(module), base):
            now = padded if derives(type(module), padded) else base
            return f"its {reason}" if (reason := altered(module, now)) else None
    return None


def pad_as(model: nn.Module, padding: Padding) -> None:
    """Make the modules of `model` hand lengths down, or with "tokens" be those of transformers."""
    padded_at_all = padding.meaning != "tokens"
    for module in model.modules():
        for base, padded in PADDED.items():
            old, new = (base, padded) if padded_at_all else (padded, base)
            if altered(module, old) is None:
                module.__class__ = new
        if is_model(module):
            vars(module).pop(_ATTRIBUTE, None)
            if padded_at_all:
                vars(module)[_ATTRIBUTE] = padding
