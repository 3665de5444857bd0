"""The FNet encoder: post-norm layers of Fourier mixing and a feed-forward network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from fnet_kernels._norm import Norm, check_norm
from fnet_kernels._ops.checks import check_dtype, check_eps, check_number, check_size
from fnet_kernels._ops.scale import check_scale
from fnet_kernels._sizes import LAYER_NORM_EPS
from fnet_kernels.modules import FusedFourierMix

Activation = str | Callable[[Tensor], Tensor]
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "gelu": nn.GELU,
    "relu": nn.ReLU,
}


def _check(
    owner: str,
    hidden_size: int,
    intermediate_size: int,
    dropout: float,
    eps: float,
    scale: float,
    norm: Norm,
    dtype: torch.dtype | None,
) -> None:
    check_size(owner, "hidden_size", hidden_size)
    check_size(owner, "intermediate_size", intermediate_size)
    check_number(owner, "dropout", dropout)
    if not 0.0 <= dropout <= 1.0:
        raise ValueError(f"{owner}: dropout must be from 0 to 1, got {dropout}")
    check_eps(owner, eps)
    check_scale(owner, scale)
    check_norm(owner, norm)
    check_dtype(owner, dtype)


class FNetEncoderLayer(nn.Module):
    """One encoder layer of FNet (figure 1 of the paper, arXiv 2105.03824):

        h = LayerNorm(x + Re(FFT2(x)))
        y = LayerNorm(h + Dropout(Dense(GELU(Dense(h)))))

    GELU is the tanh approximation, see `activation`. Dropout acts on the feed-forward network only,
    not on the mixing. As in the authors' code (`f_net/layers.py`), the dense weights and the bias
    of the first dense layer start from a normal distribution with standard deviation 0.02, and the
    bias of the second at zero. transformers starts both biases at zero.

    Args:
        hidden_size: length of the last axis.
        intermediate_size: width of the feed-forward network; the paper uses `4 * hidden_size`.
        dropout: dropout probability for the output of the feed-forward network.
        activation: "gelu_tanh", "gelu" (exact), "relu", or a function or module of one tensor.
        eps: added to the variance in both LayerNorms; 1e-12 as in the paper's code, where
            `torch.nn.LayerNorm` has 1e-5.
        scale: multiplies the transform; 1 in the paper.
        norm: of the transform, as in `torch.fft`; `"backward"`, the default, in the paper.
        device: device of the parameters.
        dtype: dtype of the parameters and, except under autocast, of the input.

    Shape: input and output are `[..., seq, hidden_size]`, and have the same dtype except under
    autocast.

    Raises:
        TypeError: a size is not an integer, `dropout`, `eps` or `scale` not a number, `activation`
            neither a name nor callable, or `dtype` not supported.
        ValueError: a size is less than 1, `dropout` outside 0 to 1, `eps` negative, `eps` or
            `scale` not finite, `norm` none of the three, or `activation` another name.

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
        norm: Norm = "backward",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check("FNetEncoderLayer", hidden_size, intermediate_size, dropout, eps, scale, norm, dtype)
        self.mixing = FusedFourierMix(
            hidden_size, eps, scale=scale, norm=norm, device=device, dtype=dtype
        )
        self.dense_in = nn.Linear(hidden_size, intermediate_size, device=device, dtype=dtype)
        self.activation = _function(activation)
        self.dense_out = nn.Linear(intermediate_size, hidden_size, device=device, dtype=dtype)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden_size, eps, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as the authors: dense weights and the first bias from N(0, 0.02^2)."""
        self.mixing.reset_parameters()
        self.norm.reset_parameters()
        for normal in (self.dense_in.weight, self.dense_in.bias, self.dense_out.weight):
            nn.init.normal_(normal, std=0.02)
        nn.init.zeros_(self.dense_out.bias)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.mixing(x)
        y: Tensor = self.norm(h + self.dropout(self.dense_out(self.activation(self.dense_in(h)))))
        return y


class FNetEncoder(nn.Sequential):
    """A stack of `num_layers` layers. See `FNetEncoderLayer` for all other arguments.

    FNet-Base is `FNetEncoder(12, 768, 3072)`, FNet-Large `FNetEncoder(24, 1024, 4096)`.

    A slice, for example `encoder[:6]`, is an `nn.Sequential` of the same layers, with shared
    parameters. Without layers it returns its input.

    Shape: input and output are `[..., seq, hidden_size]`, and have the same dtype except under
    autocast.

    Raises:
        TypeError, ValueError: as in `FNetEncoderLayer`; `num_layers` is not an integer or negative.

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
        norm: Norm = "backward",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        count = check_size("FNetEncoder", "num_layers", num_layers, least=0)
        _check("FNetEncoder", hidden_size, intermediate_size, dropout, eps, scale, norm, dtype)
        super().__init__(
            *(
                FNetEncoderLayer(
                    hidden_size,
                    intermediate_size,
                    dropout=dropout,
                    activation=copy.deepcopy(activation),  # a module's parameters are not shared
                    eps=eps,
                    scale=scale,
                    norm=norm,
                    device=device,
                    dtype=dtype,
                )
                for _ in range(count)
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
