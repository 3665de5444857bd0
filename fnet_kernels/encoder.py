"""The FNet encoder: a stack of layers."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fnet_kernels._initial import Initialised
from fnet_kernels._norm_type import NormType, check_norm_type
from fnet_kernels._ops.checks import check_bool, check_rows, check_size, kind
from fnet_kernels._ops.sequences import Integers
from fnet_kernels._padding import Padding
from fnet_kernels._sequences import Sequences, refuse_proxy
from fnet_kernels._sizes import LAYER_NORM_EPS
from fnet_kernels.encoder_layer import (
    Activation,
    FNetEncoderLayer,
    Mixer,
    check_for_modules,
    check_layer,
)
from fnet_kernels.mixers.gain import Gain
from fnet_kernels.mixers.registry import arguments_among, checked_arguments, gain_among


class FNetEncoder(Initialised):
    """A stack of `num_layers` layers. See `FNetEncoderLayer` for all other arguments.

    FNet-Base is `FNetEncoder(12, 768, 3072)`, FNet-Large `FNetEncoder(24, 1024, 4096)`. The keys of
    its state dict are those of the encoder in transformers' `FNetModel`, `layer.0.fourier...`.

    A slice, for example `encoder[:6]`, is an `nn.Sequential` of the same layers, with shared
    parameters. The encoder handles padding for its layers: in a slice they mix it as tokens.
    Without layers the encoder returns its input.

    Args:
        num_layers: number of layers.
        mixer: a name, or a module of which every layer gets a copy; or a sequence or
            `nn.ModuleList` with one of these for each layer, for example
            `["fourier"] * 10 + ["attention"] * 2`.
        gain: as in `FNetEncoderLayer`; attention, which has none, ignores it beside other names.
        gradient_checkpointing: in training, keep the input of each layer and compute the rest again
            in the backward pass. An attribute too, which may change at any time.

    Shape: input and output are `[..., seq, hidden_size]`, and have the same dtype except under
    autocast. `key_mask`, `lengths` and `cu_seqlens` as in `FNetEncoderLayer`. With
    `padding="exact"` the layers compute no padding. The output of each layer is appended to
    `hidden_states`, if that is a list.

    Raises:
        TypeError, ValueError: as in `FNetEncoderLayer`; `num_layers` is not an integer or negative,
            or a sequence `mixer` has another length.

    >>> import torch
    >>> from fnet_kernels import FNetEncoder
    >>> encoder = FNetEncoder(num_layers=2, hidden_size=64, intermediate_size=256).eval()
    >>> encoder(torch.randn(2, 128, 64)).shape
    torch.Size([2, 128, 64])
    >>> exact = FNetEncoder(2, 64, 256, padding="exact").eval()
    >>> exact(torch.randn(2, 128, 64), lengths=[128, 93])[1, 93:].any()
    tensor(False)
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        intermediate_size: int,
        *,
        mixer: Mixer | Sequence[Mixer] = "fourier",
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
        gradient_checkpointing: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_norm_type("FNetEncoder", norm_first, norm_type)
        count = check_size("FNetEncoder", "num_layers", num_layers, least=0)
        mixers = _each(mixer, count)
        checked_arguments("FNetEncoder", mixer_args)
        for of_a_layer in mixers or ["fourier"]:
            check_layer(
                "FNetEncoder",
                hidden_size,
                intermediate_size,
                of_a_layer,
                dropout,
                eps,
                dtype,
                norm_type,
            )
        names = {of_a_layer for of_a_layer in mixers if isinstance(of_a_layer, str)}
        if mixers and not names:
            check_for_modules("FNetEncoder", gain, mixer_args)
        self.padding = Padding(padding, round_to).checked("FNetEncoder")
        check_bool("FNetEncoder", "gradient_checkpointing", gradient_checkpointing)
        self.gradient_checkpointing = gradient_checkpointing
        self.layer = nn.ModuleList(
            FNetEncoderLayer(
                hidden_size,
                intermediate_size,
                mixer=of_a_layer,
                seq_len=seq_len,
                **_named(names, of_a_layer, gain, mixer_args),
                dropout=dropout,
                activation=copy.deepcopy(activation),  # a module's parameters are not shared
                eps=eps,
                initializer_range=initializer_range,
                norm_first=norm_first,
                norm_type=norm_type,
                device=device,
                dtype=dtype,
            )
            for of_a_layer in mixers
        )

    def forward(
        self,
        x: Tensor,
        key_mask: Tensor | None = None,
        hidden_states: list[Tensor] | None = None,
        sequences: Sequences | None = None,
        lengths: Integers | None = None,
        cu_seqlens: Integers | None = None,
    ) -> Tensor:
        """`sequences` is what an `FNetModel` makes of its arguments."""
        refuse_proxy(self, sequences)
        if hidden_states is not None and not isinstance(hidden_states, list):
            raise TypeError(
                f"FNetEncoder: hidden_states must be None or a list, got {kind(hidden_states)}"
            )
        if sequences is None:
            check_rows("FNetEncoder", x)
            sequences = self.padding.sequences(
                "FNetEncoder", x, key_mask=key_mask, lengths=lengths, cu_seqlens=cu_seqlens
            )
        given: tuple[Any, ...] = (key_mask,)
        if sequences is not None:
            x, given = sequences.enter(x), (None, sequences)
        for layer in self.layer:
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(layer, x, *given, use_reentrant=False)
            else:
                x = layer(x, *given)
            if hidden_states is not None:
                hidden_states.append(x if sequences is None else sequences.leave(x))
        return x if sequences is None else sequences.leave(x)

    def extra_repr(self) -> str:
        return str(self.padding).removeprefix(", ")

    def __len__(self) -> int:
        return len(self.layer)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.layer)

    @overload
    def __getitem__(self, index: int) -> FNetEncoderLayer: ...
    @overload
    def __getitem__(self, index: slice) -> nn.Sequential: ...
    def __getitem__(self, index: slice | int) -> nn.Module:
        """Return one layer, or a `Sequential` of the layers of a slice."""
        layers = list(self.layer)
        return nn.Sequential(*layers[index]) if isinstance(index, slice) else layers[index]


def _named(
    names: Collection[str], mixer: Mixer, gain: Gain, mixer_args: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a mixer of a stack with the mixers `names` takes of the arguments of all."""
    if not isinstance(mixer, str):
        return {}
    return {
        "gain": gain_among(names, mixer, gain),
        "mixer_args": arguments_among(names, mixer, mixer_args),
    }


def _each(mixer: Mixer | Sequence[Mixer], count: int) -> list[Mixer]:
    """The mixer of each layer."""
    if isinstance(mixer, nn.ModuleList):
        mixer = list(mixer)
    if not isinstance(mixer, (str, nn.Module, Sequence)):
        raise TypeError(
            "FNetEncoder: mixer must be a name, a torch.nn.Module or a sequence of these, got"
            f" {kind(mixer)}"
        )
    if isinstance(mixer, (str, nn.Module)):
        return [copy.deepcopy(mixer) for _ in range(count)]
    if len(mixer) != count:
        raise ValueError(
            f"FNetEncoder: mixer must be one mixer or a sequence of num_layers={count} mixers; got"
            f" {len(mixer)}"
        )
    return list(mixer)
