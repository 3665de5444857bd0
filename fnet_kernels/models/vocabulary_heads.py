"""FNet with heads of pre-training, whose logits are of the vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fnet_kernels._initial import dense
from fnet_kernels._ops.checks import check_below, check_indices, kind
from fnet_kernels._ops.sequences import Integers
from fnet_kernels.encoder_layer import ACTIVATIONS
from fnet_kernels.models.config import HIDDEN_ACTS, FNetConfig
from fnet_kernels.models.losses import token_loss
from fnet_kernels.models.model import FNetModel, logits_layer
from fnet_kernels.models.outputs import FNetOutput, FNetPreTrainingOutput
from fnet_kernels.models.pretrained import FNetPreTrained


class _Predictions(nn.Module):
    """The head of masked language modelling."""

    def __init__(self, config: FNetConfig) -> None:
        super().__init__()
        size, std = config.hidden_size, config.initializer_range
        self.initializer_range = std
        self.bias = nn.Parameter(torch.empty(config.vocab_size))
        self.transform = nn.ModuleDict(
            {
                "dense": dense(size, size, std),
                "activation": ACTIVATIONS[HIDDEN_ACTS[config.hidden_act]](),
                "LayerNorm": nn.LayerNorm(size, config.layer_norm_eps),
            }
        )
        if config.tie_word_embeddings:  # the model sets the parameters
            self.decoder = nn.Linear(size, config.vocab_size, device="meta")
        else:
            self.decoder = logits_layer(config, config.vocab_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw `bias`, not the layers."""
        nn.init.normal_(self.bias, std=self.initializer_range)

    def forward(self, x: Tensor, positions: Tensor | None) -> Tensor:
        if positions is not None:
            index = positions.long()[..., None].expand(*positions.shape, x.size(-1))
            x = x.gather(-2, index)  # [..., k, hidden]
        for step in self.transform.values():
            x = step(x)
        y: Tensor = self.decoder(x)
        return y


def _check_positions(owner: str, positions: object, shape: torch.Size) -> None:
    """Check the dtype and the shape of `masked_positions` for an input of `shape`."""
    if not isinstance(positions, Tensor):
        raise TypeError(f"{owner}: masked_positions must be a torch.Tensor, got {kind(positions)}")
    check_indices(owner, "masked_positions", positions)
    if positions.shape[:-1] != shape[:-1]:
        raise ValueError(
            f"{owner}: masked_positions must be [..., k] for an input of {tuple(shape)},"
            f" [..., seq]; got shape {tuple(positions.shape)}"
        )
    check_below(owner, "masked_positions", positions, shape[-1])


class _WithVocabulary(FNetPreTrained):
    """A model whose `cls.predictions` makes logits of the vocabulary with the input embeddings."""

    tied_weights = {  # noqa: RUF012  a ClassVar of the base
        "cls.predictions.decoder.weight": "fnet.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    }

    def __init__(self, config: FNetConfig, **heads: nn.Module) -> None:
        super().__init__(config)
        self.fnet = FNetModel(config)
        self.cls = nn.ModuleDict({"predictions": _Predictions(config), **heads})
        self.tie_weights()

    def _words(self, x: Tensor, positions: Tensor | None) -> Tensor:
        """The logits of words, of all tokens or at `positions`."""
        if positions is not None:
            _check_positions(type(self).__name__, positions, x.shape[:-1])
        logits: Tensor = self.cls["predictions"](x, positions)
        return logits


class FNetForMaskedLM(_WithVocabulary):
    """FNet with the head of masked language modelling.

    With `tie_word_embeddings`, `cls.predictions.decoder.weight` is the embedding of words and
    `cls.predictions.decoder.bias` is `cls.predictions.bias`.

    Shape: as in `FNetModel`, and `labels` are `[..., seq]`, -100 where they are ignored. `logits`
    are `[..., seq, vocab_size]`. With `masked_positions`, `[..., k]`, `logits` are those of these
    positions alone, `[..., k, vocab_size]`, and `labels` are `[..., k]`: as the authors' code does,
    which avoids most of the largest matrix product. Fill unused positions with 0 and their labels
    with -100.

    >>> import torch
    >>> from fnet_kernels.models import FNetConfig, FNetForMaskedLM
    >>> model = FNetForMaskedLM(FNetConfig.mini()).eval()
    >>> ids, positions = torch.randint(4, 32000, (2, 128)), torch.randint(0, 128, (2, 20))
    >>> model(ids, masked_positions=positions).logits.shape
    torch.Size([2, 20, 32000])
    """

    def __init__(self, config: FNetConfig) -> None:
        super().__init__(config)

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
        masked_positions: Tensor | None = None,
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
        logits = self._words(out.last_hidden_state, masked_positions)
        owner = type(self).__name__
        loss = None if labels is None else token_loss(owner, "labels", logits, labels)
        return FNetOutput(loss, logits, out.hidden_states)


class FNetForPreTraining(_WithVocabulary):
    """FNet with the heads of pre-training: masked language modelling and next sentence prediction.

    The loss is the sum of both, if `labels` and `next_sentence_label` are given.

    Shape: as in `FNetForMaskedLM`, and `next_sentence_label` is `[...]`: 0 if the second sentence
    follows the first, else 1.

    >>> import torch
    >>> from fnet_kernels.models import FNetConfig, FNetForPreTraining
    >>> model = FNetForPreTraining(FNetConfig.mini()).eval()
    >>> ids = torch.randint(4, 32000, (2, 128))
    >>> model(ids, labels=ids, next_sentence_label=torch.tensor([0, 1])).loss.shape
    torch.Size([])
    """

    def __init__(self, config: FNetConfig) -> None:
        super().__init__(config, seq_relationship=logits_layer(config, 2))

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
        next_sentence_label: Tensor | None = None,
        masked_positions: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> FNetPreTrainingOutput:
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
        words = self._words(out.last_hidden_state, masked_positions)
        follows = self.cls["seq_relationship"](out.pooler_output)
        loss = None
        if labels is not None and next_sentence_label is not None:
            owner = type(self).__name__
            loss = token_loss(owner, "labels", words, labels)
            loss = loss + token_loss(owner, "next_sentence_label", follows, next_sentence_label)
        return FNetPreTrainingOutput(loss, words, follows, out.hidden_states)
