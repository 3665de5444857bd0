"""What the models return: named tuples, which `Trainer`, pytrees and export support.

A loss comes first, and is None without labels. `hidden_states` are the output of the embeddings and
of each layer with `output_hidden_states`, otherwise empty: `Trainer` cannot gather None.

defines: FNetModelOutput, FNetOutput, FNetPreTrainingOutput, FNetQuestionAnsweringOutput
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from torch import Tensor
from torch.utils import _pytree

HiddenStates: TypeAlias = tuple[Tensor, ...]


class FNetModelOutput(NamedTuple):
    #: `[..., seq, hidden_size]`.
    last_hidden_state: Tensor
    #: `[..., hidden_size]`, between -1 and 1.
    pooler_output: Tensor
    hidden_states: HiddenStates = ()


class FNetOutput(NamedTuple):
    loss: Tensor | None
    logits: Tensor
    hidden_states: HiddenStates = ()


class FNetPreTrainingOutput(NamedTuple):
    loss: Tensor | None
    #: Of masked language modelling, `[..., seq, vocab_size]`.
    prediction_logits: Tensor
    #: Of next sentence prediction, `[..., 2]`.
    seq_relationship_logits: Tensor
    hidden_states: HiddenStates = ()


class FNetQuestionAnsweringOutput(NamedTuple):
    loss: Tensor | None
    #: `[..., seq]`.
    start_logits: Tensor
    #: `[..., seq]`.
    end_logits: Tensor
    hidden_states: HiddenStates = ()


def _register(cls: type[Any]) -> None:
    """Name `cls` for the files of `torch.export.save` and of AOTInductor.

    torch has no public function for this. One without the private function still exports.
    """
    register = getattr(_pytree, "_register_namedtuple", None)
    if register is not None:
        register(cls, serialized_type_name=f"fnet_kernels.models.{cls.__name__}")


for _cls in (FNetModelOutput, FNetOutput, FNetPreTrainingOutput, FNetQuestionAnsweringOutput):
    _register(_cls)
