"""A layer of the FNet encoder: token mixing and a feed-forward network.

defines: FNetEncoderLayer, Activation, Mixer, ACTIVATIONS, check_layer, check_for_modules
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from fnet_kernels._fusible import only_runs_forward
from fnet_kernels._initial import Initialised, draw
from fnet_kernels._norm_type import NormType, check_norm_type
from fnet_kernels._ops.checks import (
    check_dtype,
    check_eps,
    check_probability,
    check_rows,
    check_size,
    check_std,
    kind,
)
from fnet_kernels._ops.sequences import Integers
from fnet_kernels._padding import Padding
from fnet_kernels._sequences import Sequences, refuse_proxy
from fnet_kernels._sizes import LAYER_NORM_EPS
from fnet_kernels._sublayers import AttentionSublayer, MixingSublayer, NormModule
from fnet_kernels.mixers.attention import SelfAttention
from fnet_kernels.mixers.checks import check_dtype_of_parameters
from fnet_kernels.mixers.gain import Gain
from fnet_kernels.mixers.registry import checked_arguments, create_mixer, mixer_factory
from fnet_kernels.modules import FusedFourierMix

Activation = str | Callable[[Tensor], Tensor]
Mixer = str | nn.Module
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "gelu": nn.GELU,
    "relu": nn.ReLU,
}


def check_layer(
    owner: str,
    hidden_size: int,
    intermediate_size: int,
    mixer: Mixer,
    dropout: float,
    eps: float | None,
    dtype: torch.dtype | None,
    norm_type: NormType,
) -> None:
    check_size(owner, "hidden_size", hidden_size)
    check_size(owner, "intermediate_size", intermediate_size)
    if isinstance(mixer, str):
        mixer_factory(owner, "mixer", mixer)
    elif not isinstance(mixer, nn.Module):
        raise TypeError(f"{owner}: mixer must be a name or a torch.nn.Module, got {kind(mixer)}")
    else:
        _check_module(owner, mixer)
    check_probability(owner, "dropout", dropout)
    check_eps(owner, eps, optional=norm_type == "rms")
    check_dtype(owner, dtype)


def _check_module(owner: str, mixer: nn.Module) -> None:
    """Check that a layer may call `mixer`, or its parts."""
    if isinstance(mixer, FusedFourierMix):
        raise TypeError(
            f"{owner}: mixer must be a module that mixes alone, like FourierMix; got a"
            " FusedFourierMix, which adds the residual and the norm that a layer adds"
        )
    if isinstance(mixer, SelfAttention) and not only_runs_forward(mixer, SelfAttention):
        raise TypeError(
            f"{owner}: mixer must be a SelfAttention itself, without hooks, because a layer calls"
            f" its parts; got {kind(mixer)}"
        )


class _FeedForward(nn.Module):
    """The first dense layer and its activation."""

    def __init__(self, dense: nn.Linear, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.dense = dense
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.dense(x))


class _Output(nn.Module):
    """The second dense layer, dropout and residual, and LayerNorm unless `norm_first`.

    Then the layer applies `LayerNorm` itself, before the first dense layer.
    """

    def __init__(
        self, dense: nn.Linear, dropout: float, norm: NormModule, norm_first: bool = False
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.dense = dense
        self.dropout = nn.Dropout(dropout)
        self.LayerNorm = norm

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        y: Tensor = residual + self.dropout(self.dense(x))
        return y if self.norm_first else self.LayerNorm(y)


class FNetEncoderLayer(Initialised):
    """One encoder layer of FNet (figure 1 of the paper, arXiv 2105.03824):

        h = LayerNorm(x + mixer(x))
        y = LayerNorm(h + Dropout(Dense(GELU(Dense(h)))))

    or, with `norm_first`, pre-norm (arXiv 2002.04745, figure 1b), after whose last layer models put
    one more LayerNorm:

        h = x + mixer(LayerNorm(x))
        y = h + Dropout(Dense(GELU(Dense(LayerNorm(h)))))

    With the mixer "fourier", the first line is `fused_fourier_mix`, as long as its modules are what
    this class made: a replaced, wrapped, hooked or sharded one is called instead.

    GELU is the tanh approximation, see `activation`. Dropout acts on the feed-forward network and
    on the weights of attention, not on other mixing. As in the authors' code (`f_net/layers.py`),
    the dense weights and the bias of the first dense layer start from a normal distribution with
    standard deviation 0.02, and the bias of the second at zero. transformers starts both biases at
    zero.

    Parameters have the names of transformers' `FNetLayer`: `fourier.output.LayerNorm`,
    `intermediate.dense`, `output.dense` and `output.LayerNorm`; those of a learned mixer are below
    `fourier.self`. With `SelfAttention` they have BERT's names, below `attention`.

    Args:
        hidden_size: length of the last axis.
        intermediate_size: width of the feed-forward network; the paper uses `4 * hidden_size`.
        mixer: a name of `fnet_kernels.mixers.list_mixers()`, or a module that maps
            `[..., seq, hidden_size]` to the same shape, for example `FourierMix(norm="ortho")`.
        seq_len: longest sequence; required by mixers whose parameters depend on it.
        gain: magnitude of a mixer given by name, see `create_mixer`; not for a module.
        mixer_args: further arguments of a mixer given by name.
        dropout: dropout probability for the output of the feed-forward network, and for the weights
            of attention given by name, unless `mixer_args` has theirs.
        activation: "gelu_tanh", "gelu" (exact), "relu", or a function or module of one tensor.
        eps: added to the variance in both LayerNorms; 1e-12 as in the paper's code, while
            `torch.nn.LayerNorm` has 1e-5. None only for RMSNorm, as in `torch.nn.RMSNorm`.
        initializer_range: standard deviation of the initial dense weights.
        padding: how the mixer treats padding: as "tokens", as "zero" rows, or not at all with
            "exact", which mixes each sequence over its own length. With the last two, padding comes
            out as zeros.
        round_to: with "exact", mix over the next multiple of it, filled with zeros.
        norm_first: normalise the input of both halves, not their sums with the residual.
        norm_type: `"layer"`, or `"rms"` for RMSNorm (arXiv 1910.07467), which has no bias.
        device: device of the parameters.
        dtype: dtype of the parameters and, except under autocast, of the input. Under autocast on a
            CPU, keep float32: `nn.LayerNorm` takes no 16-bit parameters beside float32 rows.

    Shape: input and output are `[..., seq, hidden_size]`, and have the same dtype except under
    autocast. `key_mask`, `[..., seq]`, is true or 1 for the tokens that attention sees; other
    mixers ignore it, unless `padding` says what they do with the rest. In place of `key_mask` a
    call may have `lengths`, as in `fourier_mix`, or, for `padding="exact"` and packed tokens
    `[total, hidden_size]`, `cu_seqlens`, as in `fourier_mix_varlen`.

    Raises:
        TypeError: a size is not an integer, `mixer` is neither a name nor a module, or is a
            `FusedFourierMix`, `dropout`, `eps` or `initializer_range` is not a number, `activation`
            is neither a name nor callable, `norm_first` is not a bool, `dtype` is not supported, or
            the mixer has no such argument, or is a `SelfAttention` with hooks or of a subclass.
        ValueError: a size is less than 1, `mixer`, `activation` or `padding` an unknown name,
            `dropout` outside 0 to 1, `eps` negative or not finite, `norm_type` is neither of the
            two, `round_to` given without "exact", or the mixer refuses a value. In a call:
            `lengths` or `cu_seqlens` with `padding="tokens"`, padding that is not on the right, or
            a length that the mixer cannot take.

    >>> import torch
    >>> from fnet_kernels import FNetEncoderLayer
    >>> layer = FNetEncoderLayer(hidden_size=64, intermediate_size=256)
    >>> layer(torch.randn(2, 128, 64)).shape
    torch.Size([2, 128, 64])
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        *,
        mixer: Mixer = "fourier",
        seq_len: int | None = None,
        gain: Gain = "paper",
        mixer_args: Mapping[str, Any] | None = None,
        dropout: float = 0.1,
        activation: Activation = "gelu_tanh",
        eps: float | None = LAYER_NORM_EPS,
        initializer_range: float = 0.02,
        padding: str = "tokens",
        round_to: int | None = None,
        norm_first: bool = False,
        norm_type: NormType = "layer",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_norm_type(name, norm_first, norm_type)
        check_layer(name, hidden_size, intermediate_size, mixer, dropout, eps, dtype, norm_type)
        self.norm_first = norm_first
        new_norm: Any = nn.RMSNorm if norm_type == "rms" else nn.LayerNorm
        check_std(name, initializer_range)
        self.hidden_size = hidden_size
        self.padding = Padding(padding, round_to).checked(name)
        function = _function(activation)
        with nullcontext() if device is None else torch.device(device):
            if isinstance(mixer, str):
                own = {"dropout": dropout} if mixer == "attention" else {}
                own.update(checked_arguments(name, mixer_args))
                mixer = create_mixer(mixer, hidden_size, seq_len, gain=gain, **own)
                _check_module(name, mixer)
            else:
                check_for_modules(name, gain, mixer_args)
            norm = new_norm(hidden_size, eps)
            if isinstance(mixer, SelfAttention):
                self.attention = AttentionSublayer(mixer, norm, norm_first)
            else:
                self.fourier = MixingSublayer(mixer, norm, norm_first)
            self.intermediate = _FeedForward(nn.Linear(hidden_size, intermediate_size), function)
            self.output = _Output(
                nn.Linear(intermediate_size, hidden_size),
                dropout,
                new_norm(hidden_size, eps),
                norm_first,
            )
        if device is not None or dtype is not None:
            self.to(device=device, dtype=dtype)  # a mixer that was given, too
        draw(self.intermediate.dense, initializer_range, bias_std=initializer_range)
        draw(self.output.dense, initializer_range)

    def forward(
        self,
        x: Tensor,
        key_mask: Tensor | None = None,
        sequences: Sequences | None = None,
        lengths: Integers | None = None,
        cu_seqlens: Integers | None = None,
    ) -> Tensor:
        """`sequences` is what an `FNetEncoder` makes of its arguments for all of its layers."""
        check_rows("FNetEncoderLayer", x, self.hidden_size)
        dense = self.intermediate.dense
        if type(dense) is nn.Linear and isinstance(x, Tensor):
            check_dtype_of_parameters("FNetEncoderLayer", x, dense.weight.dtype)
        refuse_proxy(self, sequences)
        if sequences is not None:
            return self._layer(x, key_mask, sequences)
        sequences = self.padding.sequences(
            "FNetEncoderLayer", x, key_mask=key_mask, lengths=lengths, cu_seqlens=cu_seqlens
        )
        if sequences is None:
            return self._layer(x, key_mask)
        return sequences.leave(self._layer(sequences.enter(x), None, sequences))

    def extra_repr(self) -> str:
        block = ", norm_first=True" if self.norm_first else ""
        return f"{self.padding}{block}".removeprefix(", ")

    def _layer(
        self, x: Tensor, key_mask: Tensor | None, sequences: Sequences | None = None
    ) -> Tensor:
        if sequences is not None:
            x = sequences.cleared(x)  # attention weights of 0 keep no NaN out either
        h: Tensor
        if "attention" in self._modules:
            h = self.attention(x, key_mask, *(() if sequences is None else (sequences,)))
        elif sequences is None:
            h = self.fourier(x)
        elif _takes_sequences(self.fourier):
            h = self.fourier(x, sequences=sequences)
        else:
            h = sequences.mix_any(self.fourier, x)
        read = self.output.LayerNorm(h) if self.norm_first else h
        y: Tensor = self.output(self.intermediate(read), h)
        return y


def _takes_sequences(sublayer: nn.Module) -> bool:
    """Whether a sublayer, or a module in its place or around it, takes `sequences`."""
    if isinstance(sublayer, MixingSublayer):
        return True
    parameters = signature(sublayer.forward).parameters
    return "sequences" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def check_for_modules(owner: str, gain: Gain, mixer_args: Mapping[str, Any] | None) -> None:
    for name, value, default in (("gain", gain, "paper"), ("mixer_args", mixer_args or {}, {})):
        if value != default:
            raise ValueError(
                f"{owner}: {name} must be left out if mixer is a module, which has it already;"
                f" got {value!r}"
            )


def _function(activation: Activation) -> Callable[[Tensor], Tensor]:
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            names = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(
                f"FNetEncoderLayer: activation must be {names} or a callable; got {activation!r}"
            )
        return ACTIVATIONS[activation]()
    if not callable(activation) or isinstance(activation, type):  # nn.ReLU() is one, nn.ReLU not
        raise TypeError(
            f"FNetEncoderLayer: activation must be a name, a function or a module; got {activation}"
        )
    return activation
