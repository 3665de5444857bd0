"""The embeddings of FNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fnet_kernels._lecun_normal import lecun_normal_
from fnet_kernels._ops.checks import autocasting, check_below
from fnet_kernels.models.config import FNetConfig


class FNetEmbeddings(nn.Module):
    """`Dropout(Projection(LayerNorm(word + token type + position)))`."""

    def __init__(self, config: FNetConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.initializer_range = config.initializer_range
        self.word_embeddings = nn.Embedding(
            config.vocab_size, size, padding_idx=config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, config.layer_norm_eps)
        self.projection = nn.Linear(size, size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the tables and the projection, not LayerNorm."""
        for table in (self.word_embeddings, self.position_embeddings, self.token_type_embeddings):
            nn.init.normal_(table.weight, std=self.initializer_range)
        pad = self.word_embeddings.padding_idx
        if pad is not None:  # as transformers; the gradient of this row is zero
            _zero_row(self.word_embeddings.weight, pad)
        lecun_normal_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        position_ids: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor:
        for name, ids, table in (
            ("input_ids", input_ids, self.word_embeddings),
            ("token_type_ids", token_type_ids, self.token_type_embeddings),
            ("position_ids", position_ids, self.position_embeddings),
        ):
            if ids is not None and type(table) is nn.Embedding:
                check_below("FNetModel", name, ids, table.num_embeddings)
        if inputs_embeds is None:
            words = self.word_embeddings(input_ids)
        else:
            self._check_dtype(inputs_embeds)
            words = inputs_embeds
        if position_ids is None:
            position_ids = self._positions(words)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(position_ids)
        x = words + self.token_type_embeddings(token_type_ids)
        x = self.LayerNorm(x + self.position_embeddings(position_ids))
        y: Tensor = self.dropout(self.projection(x))
        return y

    def _check_dtype(self, inputs_embeds: Tensor) -> None:
        """Check that the sum of `inputs_embeds` and of the tables has the dtype of the tables."""
        table, given = self.position_embeddings, inputs_embeds.dtype
        if type(table) is not nn.Embedding or (
            given.is_floating_point and autocasting(inputs_embeds)
        ):
            return
        dtype = table.weight.dtype
        if not given.is_floating_point or torch.promote_types(given, dtype) is not dtype:
            raise TypeError(
                f"FNetModel: inputs_embeds must have the dtype of the embeddings, {dtype}; got"
                f" {given}"
            )

    def _positions(self, words: Tensor) -> Tensor:
        self.check_length(words.size(-2))
        return torch.arange(words.size(-2), device=words.device)

    def check_length(self, tokens: int) -> None:
        """Raise a ValueError if a sequence of `tokens` has no position embeddings."""
        most = self.position_embeddings.num_embeddings
        if tokens > most:
            raise ValueError(
                f"FNetModel: the input must have at most max_position_embeddings={most} tokens, got"
                f" {tokens}"
            )


@torch.no_grad()
def _zero_row(table: Tensor, row: int) -> None:
    if not hasattr(table, "placements"):
        table[row] = 0
        return
    # A row of a DTensor may be a copy.
    from torch.distributed.tensor.experimental import implicit_replication

    kept = torch.arange(table.size(0), device=table.device) != row
    with implicit_replication():
        table.mul_(kept[:, None])
