"""The FNet encoder: post-norm layers of Fourier mixing and a feed-forward network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fnet_kernels._sizes import LAYER_NORM_EPS
from fnet_kernels.modules import FusedFourierMix


class FNetEncoderLayer(nn.Module):
    """One encoder layer of FNet (figure 1 of the paper, arXiv 2105.03824):

        h = LayerNorm(x + Re(FFT2(x)))
        y = LayerNorm(h + Dropout(Dense(GELU(Dense(h)))))

    GELU is the tanh approximation. Dropout acts on the feed-forward network only, not on the
    mixing. As in the released model, dense weights are initialised from a normal distribution with
    standard deviation 0.02 and dense biases with zeros.

    Args:
        hidden_size: length of the last axis.
        intermediate_size: width of the feed-forward network; the paper uses `4 * hidden_size`.
        dropout: dropout probability for the output of the feed-forward network.
        eps: added to the variance in both LayerNorms.
        scale: multiplies the unnormalised transform; 1 in the paper.
        device: device of the parameters.
        dtype: dtype of the parameters and of the input.

    Shape: input and output are `[..., seq, hidden_size]` and have the same dtype.

    Raises:
        TypeError, ValueError: as in `FusedFourierMix`, for `eps` and `scale`.

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
        eps: float = LAYER_NORM_EPS,
        scale: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.mixing = FusedFourierMix(hidden_size, eps, scale=scale, device=device, dtype=dtype)
        self.dense_in = nn.Linear(hidden_size, intermediate_size, device=device, dtype=dtype)
        self.activation = nn.GELU(approximate="tanh")
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
