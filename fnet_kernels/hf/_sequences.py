# mypy: disable-error-code="no-untyped-call"
"""How transformers' FNet classes hand lengths down to their layers. Imports `transformers`.

transformers drops the attention mask of an FNet. A `forward` of this module calls that of
transformers with parts that already have the mask or the lengths. Nothing is stored in a model
during a call: another thread would overwrite it, and the second forward pass of a checkpointed
layer comes too late to read it.

defines: Having, forward_of_encoder, forward_of_head, forward_of_model
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.fnet import modeling_fnet as stock

from fnet_kernels._ops.checks import check_mask
from fnet_kernels._ops.unreadable import why_without_values
from fnet_kernels._padding import Padding
from fnet_kernels._sequences import Packed, Sequences
from fnet_kernels.models.losses import answers


class Having:
    """`module` with other attributes, for one call of a method of its class."""

    #: transformers checkpoints the `forward` of a layer's class, unless that is another function.
    forward: Any = None

    def __init__(self, module: nn.Module, **attributes: Any) -> None:
        self._module = module
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def forward_of_head(
    base: type[nn.Module], padding_of: Callable[[Any], Padding]
) -> Callable[..., Any]:
    """`base.forward` of a class with a head, which hands on what says where sequences end.

    That is `attention_mask`, `lengths` or `cu_seqlens`, which `DataCollatorWithFlattening` calls
    `cu_seq_lens_q`. `padding_of` is as in `forward_of_model`.
    """
    signature = inspect.signature(base.forward)
    itself, *parameters = signature.parameters.values()
    rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), "")

    @wraps(base.forward)
    def forward(
        self: Any,
        *args: Any,
        attention_mask: Tensor | None = None,
        lengths: Any = None,
        cu_seqlens: Any = None,
        cu_seq_lens_q: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        cu_seqlens = _offsets(type(self).__name__, cu_seqlens, cu_seq_lens_q)
        if base is stock.FNetForMultipleChoice:
            if cu_seqlens is not None:
                raise ValueError(
                    f"{type(self).__name__}: cu_seqlens must be None, because packed tokens have no"
                    " axis of choices"
                )
            attention_mask, lengths = (  # [batch, choices, ...]
                value.flatten(0, 1) if isinstance(value, Tensor) and value.dim() > 1 else value
                for value in (attention_mask, lengths)
            )
        marks = {"attention_mask": attention_mask, "lengths": lengths, "cu_seqlens": cu_seqlens}
        parts = {"fnet": partial(self.fnet, **marks)}
        padding = padding_of(self.fnet)
        if base is not stock.FNetForQuestionAnswering or padding.meaning == "tokens":
            return base.forward(Having(self, **parts), *args, **kwargs)

        given = signature.bind(self, *args, **kwargs).arguments
        del given[itself.name]
        given |= given.pop(rest, {})
        places = given.pop("start_positions", None), given.pop("end_positions", None)
        loss = None

        def qa_outputs(states: Tensor) -> Tensor:
            nonlocal loss
            logits, owner = self.qa_outputs(states), type(self).__name__
            position_ids = given.get("position_ids")
            sequences = padding.sequences(owner, logits, position_ids=position_ids, **marks)
            logits, loss = answers(owner, logits, sequences, *places)
            return logits

        result = base.forward(Having(self, qa_outputs=qa_outputs, **parts), **given)
        if loss is None:
            return result
        return (loss, *result) if isinstance(result, tuple) else type(result)(loss=loss, **result)

    return _with_mask(forward, base)


def forward_of_model(padding_of: Callable[[Any], Padding], *, masked: bool) -> Callable[..., Any]:
    """`FNetModel.forward`, which makes sequences of its arguments.

    Args:
        padding_of: gives the padding of a model.
        masked: whether the layers and the pooler take a mask.
    """

    @wraps(stock.FNetModel.forward)
    def forward(
        self: Any,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *args: Any,
        attention_mask: Tensor | None = None,
        lengths: Any = None,
        cu_seqlens: Any = None,
        cu_seq_lens_q: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        sequences = None
        given = inputs_embeds if input_ids is None else input_ids[..., None]
        if given is not None:  # else transformers raises the error
            owner = type(self).__name__
            if masked and attention_mask is not None:
                check_mask(owner, "attention_mask", attention_mask, given.shape[:-1])
            sequences = padding_of(self).sequences(
                owner,
                given,
                attention_mask=attention_mask,
                lengths=lengths,
                cu_seqlens=_offsets(owner, cu_seqlens, cu_seq_lens_q),
                position_ids=position_ids,
            )
            if isinstance(sequences, Packed) and sequences.packed:
                most = self.config.max_position_embeddings
                if position_ids is None and sequences.longest > most:
                    raise ValueError(
                        f"{owner}: a packed sequence must have at most"
                        f" max_position_embeddings={most} tokens, got {sequences.longest}"
                    )
                positions = sequences.positions(given.device).view(given.shape[:-1])
                position_ids = positions if position_ids is None else position_ids
                token_type_ids = (
                    torch.zeros_like(positions) if token_type_ids is None else token_type_ids
                )
            elif sequences is not None and lengths is None and _has_values(input_ids):
                self.warn_if_padding_and_no_attention_mask(input_ids, attention_mask)

        def pooler(states: Tensor) -> Any:
            mask = attention_mask
            if sequences is not None:
                states, mask = sequences.by_sequence(states)
            return self.pooler(states, mask) if masked else self.pooler(states)

        mask = {"key_mask": attention_mask} if masked else {}
        parts = Having(
            self,
            encoder=partial(self.encoder, sequences=sequences, **mask),
            pooler=None if self.pooler is None else pooler,
        )
        inputs = input_ids, token_type_ids, position_ids, inputs_embeds
        return stock.FNetModel.forward(parts, *inputs, *args, **kwargs)

    return _with_mask(forward, stock.FNetModel)


def forward_of_encoder(
    self: Any,
    hidden_states: Tensor,
    output_hidden_states: bool = False,
    return_dict: bool = True,
    *,
    sequences: Sequences | None = None,
    **mask: Any,
) -> Any:
    """`FNetEncoder.forward`, whose layers take `sequences`, or else `mask`."""
    given = mask if sequences is None else {"sequences": sequences}
    layers = [partial(layer, **given) for layer in self.layer]
    x = hidden_states
    if sequences is not None:
        x = sequences.enter(x)
        x = x[None] if x.dim() == 2 else x
    parts: Any = Having(self, layer=layers)
    result = stock.FNetEncoder.forward(parts, x, output_hidden_states, True)
    if sequences is not None:
        states = result.hidden_states
        result = BaseModelOutput(
            last_hidden_state=sequences.leave(result.last_hidden_state),
            hidden_states=None if states is None else tuple(map(sequences.leave, states)),
        )
    return result if return_dict else result.to_tuple()


def _has_values(input_ids: Tensor | None) -> bool:
    return input_ids is not None and why_without_values(input_ids) is None


def _offsets(owner: str, cu_seqlens: Any, cu_seq_lens_q: Any) -> Any:
    """Where packed sequences start, under either name."""
    if cu_seqlens is not None and cu_seq_lens_q is not None:
        raise ValueError(f"{owner}: cu_seqlens must be None beside cu_seq_lens_q, its other name")
    return cu_seq_lens_q if cu_seqlens is None else cu_seqlens


def _with_mask(forward: Any, base: type[nn.Module]) -> Callable[..., Any]:
    """Name `attention_mask` in the signature: Trainer and pipelines pass on what that names."""
    *named, others = inspect.signature(base.forward).parameters.values()
    mask = inspect.Parameter("attention_mask", inspect.Parameter.KEYWORD_ONLY, default=None)
    forward.__signature__ = inspect.Signature([*named, mask, others])
    function: Callable[..., Any] = forward
    return function
