"""What the models return: tuples with names, of which `Trainer`, pytrees and export know.

A loss comes first, and is None without labels. `hidden_states` are the output of the embeddings and
of each layer with `output_hidden_states`, otherwise empty: `Trainer` cannot gather None.

defines: FNetModelOutput, FNetOutput, FNetPreTrainingOutput, FNetQuestionAnsweringOutput
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from torch import Tensor

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
