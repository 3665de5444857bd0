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
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.fnet import modeling_fnet as stock

from fnet_kernels._ops.checks import check_mask
from fnet_kernels._ops.unreadable import why_unreadable, why_without_values
from fnet_kernels._padding import Padding
from fnet_kernels._sequences import Packed, Sequences, without_padding


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
    """`base.forward` of a class with a head, which hands `attention_mask` and `cu_seq_lens_q` on.

    The latter is what `DataCollatorWithFlattening` calls `cu_seqlens`. `padding_of` is as in
    `forward_of_model`.
    """

    @wraps(base.forward)
    def forward(
        self: Any,
        *args: Any,
        attention_mask: Tensor | None = None,
        cu_seq_lens_q: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        if base is stock.FNetForMultipleChoice and attention_mask is not None:
            attention_mask = attention_mask.flatten(0, -2)  # [batch, choices, seq]
        fnet = partial(self.fnet, attention_mask=attention_mask, cu_seq_lens_q=cu_seq_lens_q)
        parts: dict[str, Any] = {"fnet": fnet}
        answers = base is stock.FNetForQuestionAnswering
        if answers and attention_mask is not None and padding_of(self.fnet).meaning != "tokens":
            parts["qa_outputs"] = partial(_logits_of_answers, self.qa_outputs, attention_mask)
        return base.forward(Having(self, **parts), *args, **kwargs)

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
        cu_seq_lens_q: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        padding = padding_of(self)
        sequences = None
        given = inputs_embeds if input_ids is None else input_ids[..., None]
        if given is not None:  # else transformers raises the error
            if masked and attention_mask is not None:
                owner = type(self).__name__
                check_mask(owner, "attention_mask", attention_mask, given.shape[:-1])
            offsets: Any = cu_seq_lens_q
            if padding.meaning == "exact" and attention_mask is None and offsets is None:
                offsets = _offsets(type(self).__name__, position_ids)
            sequences = padding.sequences(
                type(self).__name__, given, attention_mask=attention_mask, cu_seqlens=offsets
            )
            if isinstance(sequences, Packed) and sequences.kept is None:
                positions = sequences.positions(given.device).view(given.shape[:-1])
                position_ids = positions if position_ids is None else position_ids
                token_type_ids = (
                    torch.zeros_like(positions) if token_type_ids is None else token_type_ids
                )
            elif sequences is not None and _has_values(input_ids):
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


def _logits_of_answers(qa_outputs: nn.Module, mask: Tensor, states: Tensor) -> Tensor:
    return without_padding(qa_outputs(states), mask.to(states.device).bool())


def _has_values(input_ids: Tensor | None) -> bool:
    return input_ids is not None and why_without_values(input_ids) is None


def _offsets(owner: str, position_ids: Tensor | None) -> list[int] | None:
    """Where sequences start among tokens whose positions start again, and last their number."""
    if position_ids is None or position_ids.is_meta:
        return None
    if reason := why_unreadable(position_ids):
        raise ValueError(
            f"{owner}: position_ids must be None without attention_mask, or a tensor whose values"
            f" Python can read, because they say where packed sequences start; got {reason}"
        )
    starts = torch.nn.functional.pad(position_ids.diff(dim=-1) <= 0, (1, 0), value=True)
    if not starts[..., 1:].any():
        return None
    if prod(position_ids.shape[:-1]) != 1:
        raise ValueError(
            f"{owner}: position_ids that start again must be those of packed tokens, [1, total];"
            f" got shape {tuple(position_ids.shape)}"
        )
    return [*starts.flatten().nonzero().flatten().tolist(), starts.numel()]


def _with_mask(forward: Any, base: type[nn.Module]) -> Callable[..., Any]:
    """Name `attention_mask` in the signature: Trainer and pipelines pass on what that names."""
    *named, others = inspect.signature(base.forward).parameters.values()
    mask = inspect.Parameter("attention_mask", inspect.Parameter.KEYWORD_ONLY, default=None)
    forward.__signature__ = inspect.Signature([*named, mask, others])
    function: Callable[..., Any] = forward
    return function
