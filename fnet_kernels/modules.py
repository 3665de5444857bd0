"""The modules `FourierMix` and `FusedFourierMix` (mixing, residual and LayerNorm in one)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fnet_kernels._ops.checks import check_eps, check_number
from fnet_kernels._sizes import LAYER_NORM_EPS
from fnet_kernels.functional import fourier_mix, fused_fourier_mix


class FourierMix(nn.Module):
    """`scale * Re(FFT2(x))` over the last two axes; see `fnet_kernels.fourier_mix`.

    Args:
        scale: multiplies the unnormalised transform.

    Raises:
        TypeError: `scale` is not a number.

    Shape: input and output are `[..., seq, hidden]` and have the same dtype. No parameters.

    >>> import torch
    >>> from fnet_kernels import FourierMix
    >>> FourierMix(scale=0.5)(torch.ones(1, 2, 2))
    tensor([[[2., 0.],
             [0., 0.]]])
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        check_number("FourierMix", "scale", scale)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return fourier_mix(x, scale=self.scale)

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class FusedFourierMix(nn.Module):
    """The mixing sublayer of FNet: `LayerNorm(x + scale * Re(FFT2(x)))`.

    Its parameters have the names and shapes of those of `torch.nn.LayerNorm(hidden_size, eps)`, so
    the two modules can exchange a `state_dict`. See `fnet_kernels.fused_fourier_mix`.

    Args:
        hidden_size: length of the last axis.
        eps: added to the variance of each row.
        elementwise_affine: learn a `weight` and, unless `bias=False`, a `bias`.
        bias: learn a `bias`; ignored without `elementwise_affine`.
        scale: multiplies the unnormalised transform.
        device: device of the parameters.
        dtype: dtype of the parameters and, except under autocast, of the input.

    Raises:
        TypeError: `eps` or `scale` is not a number.
        ValueError: `eps` is negative or not finite.

    Shape: input and output are `[..., seq, hidden_size]` and have the same dtype.

    >>> import torch
    >>> from fnet_kernels import FusedFourierMix
    >>> mix = FusedFourierMix(768)
    >>> mix(torch.randn(8, 512, 768)).shape
    torch.Size([8, 512, 768])
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        hidden_size: int,
        eps: float = LAYER_NORM_EPS,
        *,
        elementwise_affine: bool = True,
        bias: bool = True,
        scale: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_eps("FusedFourierMix", eps)
        check_number("FusedFourierMix", "scale", scale)
        self.hidden_size = hidden_size
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.scale = scale
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            values = torch.empty(hidden_size, device=device, dtype=dtype) if wanted else None
            self.register_parameter(name, None if values is None else nn.Parameter(values))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set `weight` to ones and `bias` to zeros."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        # Without weight and bias, fused_fourier_mix cannot check the hidden size.
        if isinstance(x, Tensor) and x.shape[-1:] != (self.hidden_size,):
            raise ValueError(
                f"FusedFourierMix: x must have hidden size {self.hidden_size} as its last axis;"
                f" got shape {tuple(x.shape)}"
            )
        return fused_fourier_mix(x, self.weight, self.bias, self.eps, scale=self.scale)

    def extra_repr(self) -> str:
        return (
            f"{self.hidden_size}, eps={self.eps}, elementwise_affine={self.elementwise_affine},"
            f" bias={self.bias is not None}, scale={self.scale}"
        )
