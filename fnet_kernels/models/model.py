"""FNet without a head.

defines: FNetModel, logits_layer
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from fnet_kernels._initial import dense
from fnet_kernels._ops.checks import check_indices, check_mask, check_per_token, kind
from fnet_kernels._ops.sequences import Integers
from fnet_kernels._ops.unreadable import why_unreadable
from fnet_kernels._padding import Padding
from fnet_kernels._sequences import Packed
from fnet_kernels.encoder import FNetEncoder
from fnet_kernels.mixers.registry import check_arguments, create_mixer, gain_among
from fnet_kernels.models.config import HIDDEN_ACTS, FNetConfig, check_choice
from fnet_kernels.models.embeddings import FNetEmbeddings
from fnet_kernels.models.outputs import FNetModelOutput
from fnet_kernels.models.pretrained import FNetPreTrained


class FNetModel(FNetPreTrained):
    """FNet's encoder with embeddings and pooler (arXiv 2105.03824, figure 1).

    The state dict has the keys of transformers' `FNetModel`; attention layers have BERT's.

    Weights start as in the authors' code (`f_net/layers.py`, `f_net/models.py`): dense weights and
    embeddings from N(0, `initializer_range`^2), the projection of the embeddings from a truncated
    normal distribution of variance 1 / hidden_size (Flax's default). Biases start at zero, except
    those of the first dense layer of each feed-forward network, of attention and of what makes
    logits: N(0, `initializer_range`^2). The embedding of `pad_token_id` starts at zero and gets no
    gradient, as in transformers. Learned mixers start as published.

    `attention_mask` reaches attention layers and the pooler with `pooling="mean"`. Mixing ignores
    it with `config.padding="tokens"`: a result depends on the padded length. With "zero" and
    "exact", `attention_mask`, or `lengths` in its place, says which tokens mixing sees, and padding
    comes out as zeros. With "exact" the layers compute no padding, and tokens may come packed:
    `input_ids` are `[total]` or `[1, total]`, `cu_seqlens` says where each sequence starts, or
    `position_ids` that start again do, and `pooler_output` is `[sequences, hidden_size]`.

    Args:
        config: sizes and choices.

    Shape: `input_ids`, `token_type_ids`, `position_ids` and `attention_mask` are `[..., seq]`,
    `inputs_embeds` `[..., seq, hidden_size]`; seq is at most `max_position_embeddings`. `lengths`
    are as in `fnet_kernels.fourier_mix`, `cu_seqlens` as in `fnet_kernels.fourier_mix_varlen`. A
    call returns an `FNetModelOutput`; its `hidden_states` are empty unless `output_hidden_states`
    is true.

    Raises:
        TypeError: `config` is not an `FNetConfig`, a keyword of a call is unknown, or ids, types or
            positions are not int64 or int32.
        ValueError: a call has neither or both of `input_ids` and `inputs_embeds`, a mask, types or
            positions of another shape, an index beyond its table (on a CPU), more tokens than
            `max_position_embeddings`, `lengths` or `cu_seqlens` that do not apply to
            `config.padding`, or padding that is not on the right.

    >>> import torch
    >>> from fnet_kernels.models import FNetConfig, FNetModel
    >>> model = FNetModel(FNetConfig.mini()).eval()
    >>> model(torch.tensor([[4, 6, 7, 5]])).last_hidden_state.shape
    torch.Size([1, 4, 64])
    >>> model = FNetModel(FNetConfig.mini(padding="exact")).eval()
    >>> packed = model(torch.tensor([4, 6, 5, 4, 5]), cu_seqlens=[0, 3, 5])
    >>> packed.last_hidden_state.shape, packed.pooler_output.shape
    (torch.Size([5, 64]), torch.Size([2, 64]))
    """

    def __init__(self, config: FNetConfig) -> None:
        super().__init__(config)
        self.embeddings = FNetEmbeddings(config)
        mixers = [_mixer(config, name) for name in config.layer_mixers()]
        named = any(isinstance(mixer, str) for mixer in mixers)  # attention has its arguments
        gain = config.gain
        if not named:  # those of the mixer that no layer has
            gain = gain_among({config.mixer}, "attention", gain)
            check_arguments(config.mixer, config.mixer_args)
        self.encoder = FNetEncoder(
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            mixer=mixers,
            seq_len=config.max_position_embeddings,
            gain=gain,
            mixer_args=config.mixer_args if named else None,
            dropout=config.hidden_dropout_prob,
            activation=HIDDEN_ACTS[config.hidden_act],
            eps=config.layer_norm_eps,
            initializer_range=config.initializer_range,
        )
        self.pooler = _Pooler(config)

    @property
    def padding(self) -> Padding:
        """How mixing treats padding: what `config` says now."""
        return Padding(self.config.padding, self.config.round_to).checked("FNetModel")

    @property
    def _body(self) -> FNetModel:
        return self

    def extra_repr(self) -> str:
        padding = Padding(self.config.padding, self.config.round_to)
        return f"pooling={self.config.pooling}{padding}"

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
        output_hidden_states: bool = False,
    ) -> FNetModelOutput:
        shape = _shape(input_ids, inputs_embeds, self.config.hidden_size)
        if attention_mask is not None:
            check_mask("FNetModel", "attention_mask", attention_mask, shape)
        if token_type_ids is not None:
            check_per_token("FNetModel", "token_type_ids", token_type_ids, shape)
            check_indices("FNetModel", "token_type_ids", token_type_ids)
        if position_ids is not None:
            _check_positions(position_ids, shape)
        given = inputs_embeds if input_ids is None else input_ids[..., None]
        assert given is not None
        sequences = self.padding.sequences(
            "FNetModel",
            given,
            attention_mask=attention_mask,
            lengths=lengths,
            cu_seqlens=cu_seqlens,
            position_ids=position_ids,
        )
        if sequences is not None and not sequences.packed and attention_mask is lengths is None:
            _warn_of_padding(self.config, input_ids)
        if position_ids is None and isinstance(sequences, Packed) and sequences.packed:
            self.embeddings.check_length(sequences.longest)
            position_ids = sequences.positions(given.device).view(shape)
        x = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        states = None
        if output_hidden_states:
            states = [x if sequences is None else sequences.leave(sequences.enter(x))]
        x = self.encoder(x, attention_mask, states, sequences)
        by_sequence = (x, attention_mask) if sequences is None else sequences.by_sequence(x)
        return FNetModelOutput(x, self.pooler(*by_sequence), tuple(states or ()))


def _warn_of_padding(config: FNetConfig, input_ids: Tensor | None) -> None:
    """Warn if `input_ids`, given without a mask, look padded."""
    pad = config.pad_token_id
    if input_ids is None or pad is None:
        return
    if torch.compiler.is_compiling() or why_unreadable(input_ids):
        return
    if input_ids.is_cuda and torch.cuda.is_current_stream_capturing():
        return
    if (input_ids[..., -1:] == pad).any():
        warnings.warn(
            f"FNetModel: input_ids end with pad_token_id={pad}; without attention_mask or lengths,"
            f" padding={config.padding!r} mixes it as a token (FNet's tokenizer returns a mask with"
            " return_attention_mask=True)",
            stacklevel=2,
        )


class _Pooler(nn.Module):
    """`tanh(Dense(token))` of the first token, or of the mean of all that `mask` includes."""

    def __init__(self, config: FNetConfig) -> None:
        super().__init__()
        self.dense = dense(config.hidden_size, config.hidden_size, config.initializer_range)
        self.config = config

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        pooling = check_choice("FNetModel", self.config, "pooling")
        if pooling == "first" and x.size(-2) == 0:
            raise ValueError(
                "FNetModel: pooling needs a first token; got hidden states of shape"
                f" {tuple(x.shape)}"
            )
        token = x[..., 0, :] if pooling == "first" else _mean(x, mask)
        y: Tensor = self.dense(token).tanh()
        return y


def _mean(x: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return x.mean(-2) if x.size(-2) else x.sum(-2)  # no NaN, as below
    wide = torch.promote_types(x.dtype, torch.float32)
    kept = mask.bool()
    total = (x * kept[..., None]).sum(-2, dtype=wide)
    return (total / kept.sum(-1, keepdim=True).clamp(min=1)).to(x.dtype)


def logits_layer(config: FNetConfig, count: int) -> nn.Linear:
    """The last layer of a head, which makes `count` logits."""
    std = config.initializer_range
    return dense(config.hidden_size, count, std, bias_std=std)


def _mixer(config: FNetConfig, name: str) -> str | nn.Module:
    if name != "attention":
        return name
    alone = config.mixer == "attention"
    options = {
        "num_attention_heads": config.num_attention_heads,
        "dropout": config.attention_probs_dropout_prob,
        "initializer_range": config.initializer_range,
    }
    return create_mixer(
        name,
        config.hidden_size,
        gain=gain_among((name, config.mixer), name, config.gain),
        **{**options, **(config.mixer_args if alone else {})},
    )


def _check_positions(position_ids: object, shape: torch.Size) -> None:
    """Positions may lack the leading axes of the input, or have 1 there."""
    if not isinstance(position_ids, Tensor):
        raise TypeError(f"FNetModel: position_ids must be a torch.Tensor, got {kind(position_ids)}")
    check_indices("FNetModel", "position_ids", position_ids)
    given = position_ids.shape
    fits = len(given) <= len(shape) and given[-1:] == shape[-1:]
    if not fits or any(a not in (1, b) for a, b in zip(given[::-1], shape[::-1], strict=False)):
        raise ValueError(
            f"FNetModel: position_ids must have the shape of the input, {tuple(shape)}, or 1 in its"
            f" leading axes; got shape {tuple(given)}"
        )


def _shape(input_ids: object, inputs_embeds: object, hidden_size: int) -> torch.Size:
    """Check the input and return its shape, `[..., seq]`."""
    if (input_ids is None) == (inputs_embeds is None):
        both = "neither" if input_ids is None else "both"
        raise ValueError(f"FNetModel: input_ids or inputs_embeds must be given, got {both}")
    name, x = ("inputs_embeds", inputs_embeds) if input_ids is None else ("input_ids", input_ids)
    if not isinstance(x, Tensor):
        raise TypeError(f"FNetModel: {name} must be a torch.Tensor, got {kind(x)}")
    if input_ids is not None:
        check_indices("FNetModel", "input_ids", x)
        if x.dim() == 0:
            raise ValueError("FNetModel: input_ids must be [..., seq], got shape ()")
        return x.shape
    if x.dim() < 2 or x.size(-1) != hidden_size:
        raise ValueError(
            f"FNetModel: inputs_embeds must be [..., seq, hidden_size={hidden_size}], got shape"
            f" {tuple(x.shape)}"
        )
    return x.shape[:-1]
