"""The FNet encoder: post-norm layers of Fourier mixing and a feed-forward network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from fnet_kernels._sizes import LAYER_NORM_EPS
from fnet_kernels.modules import FusedFourierMix

Activation = str | Callable[[Tensor], Tensor]
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "gelu": nn.GELU,
    "relu": nn.ReLU,
}


class FNetEncoderLayer(nn.Module):
    """One encoder layer of FNet (figure 1 of the paper, arXiv 2105.03824):

        h = LayerNorm(x + Re(FFT2(x)))
        y = LayerNorm(h + Dropout(Dense(GELU(Dense(h)))))

    GELU is the tanh approximation, see `activation`. Dropout acts on the feed-forward network only,
    not on the mixing. As in the released model, dense weights are initialised from a normal
    distribution with standard deviation 0.02 and dense biases with zeros.

    Args:
        hidden_size: length of the last axis.
        intermediate_size: width of the feed-forward network; the paper uses `4 * hidden_size`.
        dropout: dropout probability for the output of the feed-forward network.
        activation: "gelu_tanh", "gelu" (exact), "relu", or a function or module of one tensor.
        eps: added to the variance in both LayerNorms; 1e-12 as in the paper's code, where
            `torch.nn.LayerNorm` has 1e-5.
        scale: multiplies the unnormalised transform; 1 in the paper.
        device: device of the parameters.
        dtype: dtype of the parameters and of the input.

    Shape: input and output are `[..., seq, hidden_size]` and have the same dtype.

    Raises:
        TypeError: `activation` is neither a name nor callable; or as in `FusedFourierMix`.
        ValueError: `activation` is another name; or as in `FusedFourierMix`.

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
        dropout: float = 0.1,
        activation: Activation = "gelu_tanh",
        eps: float = LAYER_NORM_EPS,
        scale: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.mixing = FusedFourierMix(hidden_size, eps, scale=scale, device=device, dtype=dtype)
        self.dense_in = nn.Linear(hidden_size, intermediate_size, device=device, dtype=dtype)
        self.activation = _function(activation)
        self.dense_out = nn.Linear(intermediate_size, hidden_size, device=device, dtype=dtype)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden_size, eps, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as in the released model: dense weights from N(0, 0.02^2), biases zero."""
        self.mixing.reset_parameters()
        self.norm.reset_parameters()
        for dense in (self.dense_in, self.dense_out):
            nn.init.normal_(dense.weight, std=0.02)
            nn.init.zeros_(dense.bias)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.mixing(x)
        y: Tensor = self.norm(h + self.dropout(self.dense_out(self.activation(self.dense_in(h)))))
        return y


class FNetEncoder(nn.Sequential):
    """A stack of `num_layers` layers. See `FNetEncoderLayer` for all other arguments.

    FNet-Base is `FNetEncoder(12, 768, 3072)`, FNet-Large `FNetEncoder(24, 1024, 4096)`.

    A slice, for example `encoder[:6]`, is an `nn.Sequential` of the same layers, with shared
    parameters.

    Shape: input and output are `[..., seq, hidden_size]` and have the same dtype.

    >>> import torch
    >>> from fnet_kernels import FNetEncoder
    >>> encoder = FNetEncoder(num_layers=2, hidden_size=64, intermediate_size=256).eval()
    >>> encoder(torch.randn(2, 128, 64)).shape
    torch.Size([2, 128, 64])
    """

    def __init__(
        self,
        num_layers: int,
        hidden_size: int,
        intermediate_size: int,
        *,
        dropout: float = 0.1,
        activation: Activation = "gelu_tanh",
        eps: float = LAYER_NORM_EPS,
        scale: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            *(
                FNetEncoderLayer(
                    hidden_size,
                    intermediate_size,
                    dropout=dropout,
                    activation=copy.deepcopy(activation),  # a module's parameters are not shared
                    eps=eps,
                    scale=scale,
                    device=device,
                    dtype=dtype,
                )
                for _ in range(num_layers)
            )
        )

    def __getitem__(self, index: slice | int) -> nn.Module:
        """Return one layer, or a `Sequential` of the layers of a slice."""
        layers = list(self)
        return nn.Sequential(*layers[index]) if isinstance(index, slice) else layers[index]


def _function(activation: Activation) -> Callable[[Tensor], Tensor]:
    if isinstance(activation, str):
        if activation not in _ACTIVATIONS:
            names = ", ".join(map(repr, _ACTIVATIONS))
            raise ValueError(
                f"FNetEncoderLayer: activation must be {names} or a callable; got {activation!r}"
            )
        return _ACTIVATIONS[activation]()
    if not callable(activation) or isinstance(activation, type):  # nn.ReLU() is one, nn.ReLU not
        raise TypeError(
            f"FNetEncoderLayer: activation must be a name, a function or a module; got {activation}"
        )
    return activation
