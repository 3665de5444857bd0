"""FNet with heads of classification, regression and extractive question answering."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from fnet_kernels._ops.checks import check_indices
from fnet_kernels._ops.sequences import Integers
from fnet_kernels.models.config import FNetConfig, check_config
from fnet_kernels.models.losses import answers, check_labels, token_loss
from fnet_kernels.models.model import FNetModel, logits_layer
from fnet_kernels.models.outputs import (
    FNetModelOutput,
    FNetOutput,
    FNetQuestionAnsweringOutput,
)
from fnet_kernels.models.pretrained import FNetPreTrained


class _Classifier(FNetPreTrained):
    """A model that makes `logits` of what FNet returns, and a `loss` of those and of labels."""

    def __init__(self, config: FNetConfig) -> None:
        super().__init__(config)
        self.fnet = FNetModel(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        lengths: Integers | None = None,
        cu_seqlens: Integers | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> FNetOutput:
        out = self.fnet(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            lengths=lengths,
            cu_seqlens=cu_seqlens,
            output_hidden_states=output_hidden_states,
        )
        logits = self._logits(out)
        loss = None if labels is None else self._loss(logits, labels)
        return FNetOutput(loss, logits, out.hidden_states)

    def _logits(self, out: FNetModelOutput) -> Tensor:
        raise NotImplementedError

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return token_loss(type(self).__name__, "labels", logits, labels)


class FNetForNextSentencePrediction(_Classifier):
    """FNet with the head of next sentence prediction.

    Shape: as in `FNetModel`, and `labels` are `[...]`: 0 if the second sentence follows the first,
    else 1. `logits` are `[..., 2]`.

    >>> import torch
    >>> from fnet_kernels.models import FNetConfig, FNetForNextSentencePrediction
    >>> model = FNetForNextSentencePrediction(FNetConfig.mini()).eval()
    >>> model(torch.tensor([[4, 6, 7, 5]])).logits.shape
    torch.Size([1, 2])
    """

    def __init__(self, config: FNetConfig) -> None:
        super().__init__(config)
        self.cls = nn.ModuleDict({"seq_relationship": logits_layer(config, 2)})

    def _logits(self, out: FNetModelOutput) -> Tensor:
        y: Tensor = self.cls["seq_relationship"](out.pooler_output)
        return y


class _WithLabels(_Classifier):
    """Dropout and a linear layer `classifier`."""

    def __init__(self, config: FNetConfig, count: int) -> None:
        super().__init__(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = logits_layer(config, count)

    def _classify(self, x: Tensor) -> Tensor:
        y: Tensor = self.classifier(self.dropout(x))
        return y


def _with_labels(owner: str, config: FNetConfig, num_labels: int | None) -> FNetConfig:
    check_config(owner, config)
    return config if num_labels is None else replace(config, num_labels=num_labels)


class FNetForSequenceClassification(_WithLabels):
    """FNet with a classifier or a regression of the pooled token.

    The loss is that of `config.problem_type`. None means mean squared error for one label,
    cross-entropy for int64 and int32 labels, and else binary cross-entropy of each label.

    Args:
        config: sizes and choices.
        num_labels: replaces `config.num_labels`.

    Shape: as in `FNetModel`, and `labels` are `[...]`, or `[..., num_labels]` for regression and
    several labels at once. `logits` are `[..., num_labels]`.

    >>> import torch
    >>> from fnet_kernels.models import FNetConfig, FNetForSequenceClassification
    >>> model = FNetForSequenceClassification(FNetConfig.mini(), num_labels=3).eval()
    >>> model(torch.tensor([[4, 6, 7, 5]]), labels=torch.tensor([2])).logits.shape
    torch.Size([1, 3])
    """

    def __init__(self, config: FNetConfig, *, num_labels: int | None = None) -> None:
        config = _with_labels(type(self).__name__, config, num_labels)
        super().__init__(config, config.num_labels)

    def _logits(self, out: FNetModelOutput) -> Tensor:
        return self._classify(out.pooler_output)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        problem, owner = self.config.problem_type, type(self).__name__
        if problem is None and self.config.num_labels == 1:
            problem = "regression"
        if problem == "regression":
            shape = logits.shape[:-1] if logits.size(-1) == 1 else logits.shape
            check_labels(owner, "labels", labels, shape)
            return mse_loss(logits, labels.reshape(logits.shape).to(logits.dtype))
        if problem is None and getattr(labels, "dtype", None) in (torch.int64, torch.int32):
            problem = "single_label_classification"
        if problem == "single_label_classification":
            return super()._loss(logits, labels)
        classes = isinstance(labels, Tensor) and labels.shape == logits.shape[:-1]
        if classes and not labels.is_floating_point():
            check_indices(owner, "labels of classes", labels)
        check_labels(owner, "labels", labels, logits.shape)
        labels = labels.reshape(logits.shape).to(logits.dtype)
        return binary_cross_entropy_with_logits(logits, labels)


class FNetForTokenClassification(_WithLabels):
    """FNet with a classifier of each token.

    Args:
        config: sizes and choices.
        num_labels: replaces `config.num_labels`.

    Shape: as in `FNetModel`, and `labels` are `[..., seq]`, -100 where they are ignored. `logits`
    are `[..., seq, num_labels]`.

    >>> import torch
    >>> from fnet_kernels.models import FNetConfig, FNetForTokenClassification
    >>> model = FNetForTokenClassification(FNetConfig.mini(), num_labels=3).eval()
    >>> model(torch.tensor([[4, 6, 7, 5]])).logits.shape
    torch.Size([1, 4, 3])
    """

    def __init__(self, config: FNetConfig, *, num_labels: int | None = None) -> None:
        config = _with_labels(type(self).__name__, config, num_labels)
        super().__init__(config, config.num_labels)

    def _logits(self, out: FNetModelOutput) -> Tensor:
        return self._classify(out.last_hidden_state)


class FNetForMultipleChoice(_WithLabels):
    """FNet with a score for each choice.

    Shape: as in `FNetModel`, with an axis of choices: `input_ids` are `[..., choices, seq]`,
    `labels` `[...]`, `logits` `[..., choices]`.

    >>> import torch
    >>> from fnet_kernels.models import FNetConfig, FNetForMultipleChoice
    >>> model = FNetForMultipleChoice(FNetConfig.mini()).eval()
    >>> model(torch.randint(4, 32000, (2, 3, 16))).logits.shape
    torch.Size([2, 3])
    """

    def __init__(self, config: FNetConfig) -> None:
        super().__init__(config, 1)

    def _logits(self, out: FNetModelOutput) -> Tensor:
        states, pooled = out.last_hidden_state, out.pooler_output
        if states.dim() < 3 or pooled.shape[:-1] != states.shape[:-2]:
            what = "packed" if pooled.dim() > 1 else "one axis of"
            raise ValueError(
                f"{type(self).__name__}: the input must be [..., choices, seq]; got {what} tokens,"
                f" whose hidden states have shape {tuple(states.shape)}"
            )
        return self._classify(pooled).squeeze(-1)


class FNetForQuestionAnswering(FNetPreTrained):
    """FNet with the head of extractive question answering: where an answer starts and ends.

    The loss is the mean of both, if `start_positions` and `end_positions` are given. Positions at
    or beyond the length of a sequence are ignored; negative ones, -100 too, count as 0, as in
    transformers. With `config.padding` "zero" and "exact", the logits of padding are the least
    number of their dtype: no softmax and no argmax sees them.

    Shape: as in `FNetModel`, and `start_positions` and `end_positions` are `[...]`; for packed
    tokens `[sequences]`, each counted from the start of its sequence.

    >>> import torch
    >>> from fnet_kernels.models import FNetConfig, FNetForQuestionAnswering
    >>> model = FNetForQuestionAnswering(FNetConfig.mini()).eval()
    >>> model(torch.tensor([[4, 6, 7, 5]])).start_logits.shape
    torch.Size([1, 4])
    """

    def __init__(self, config: FNetConfig) -> None:
        super().__init__(config)
        self.fnet = FNetModel(config)
        self.qa_outputs = logits_layer(config, 2)

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        lengths: Integers | None = None,
        cu_seqlens: Integers | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> FNetQuestionAnsweringOutput:
        out = self.fnet(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            lengths=lengths,
            cu_seqlens=cu_seqlens,
            output_hidden_states=output_hidden_states,
        )
        logits = self.qa_outputs(out.last_hidden_state)
        sequences = self.fnet.padding.sequences(
            type(self).__name__,
            logits,
            attention_mask=attention_mask,
            lengths=lengths,
            cu_seqlens=cu_seqlens,
            position_ids=position_ids,
        )
        logits, loss = answers(
            type(self).__name__, logits, sequences, start_positions, end_positions
        )
        start, end = logits.unbind(-1)
        return FNetQuestionAnsweringOutput(loss, start, end, out.hidden_states)
