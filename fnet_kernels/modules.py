"""The modules `FourierMix` and `FusedFourierMix` (mixing, residual and LayerNorm in one)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fnet_kernels._norm import Norm, check_norm
from fnet_kernels._norm_type import NormType, check_norm_type
from fnet_kernels._ops.checks import check_bool, check_dtype, check_eps, check_size
from fnet_kernels._ops.scale import check_scale, constant_scale
from fnet_kernels._ops.sequences import Integers
from fnet_kernels._sizes import LAYER_NORM_EPS
from fnet_kernels.functional import fourier_mix, fused_fourier_mix


class FourierMix(nn.Module):
    """`scale * Re(FFT2(x))` over the last two axes; see `fnet_kernels.fourier_mix`.

    Args:
        scale: multiplies the transform.
        norm: `"backward"`, `"ortho"` or `"forward"`, as in `torch.fft`.

    Raises:
        TypeError: `scale` is not a number.
        ValueError: `scale` is not finite, or `norm` is none of the three.

    Shape: input and output are `[..., seq, hidden]` and have the same dtype, except under autocast.
    `lengths` and `round_to` of a call are as in `fnet_kernels.fourier_mix`. No parameters.

    >>> import torch
    >>> from fnet_kernels import FourierMix
    >>> FourierMix(scale=0.5)(torch.ones(1, 2, 2))
    tensor([[[2., 0.],
             [0., 0.]]])
    """

    def __init__(self, scale: float = 1.0, *, norm: Norm = "backward") -> None:
        super().__init__()
        check_scale("FourierMix", scale)
        check_norm("FourierMix", norm)
        self.scale = constant_scale(scale)
        self.norm = norm

    def forward(
        self, x: Tensor, lengths: Integers | None = None, round_to: int | None = None
    ) -> Tensor:
        return fourier_mix(x, scale=self.scale, norm=self.norm, lengths=lengths, round_to=round_to)

    def extra_repr(self) -> str:
        return f"scale={float(self.scale)}, norm={self.norm}"


class FusedFourierMix(nn.Module):
    """The mixing sublayer of FNet: `LayerNorm(x + scale * Re(FFT2(x)))`.

    With `norm_first=True` pre-norm, `x + scale * Re(FFT2(LayerNorm(x)))`; `norm_type="rms"` takes
    RMSNorm in either. Its parameters have the names and shapes of those of
    `torch.nn.LayerNorm(hidden_size, eps)` or `torch.nn.RMSNorm(hidden_size, eps)`, so the modules
    can exchange a `state_dict`. See `fnet_kernels.fused_fourier_mix`.

    Args:
        hidden_size: length of the last axis; at least 1.
        eps: added to the variance of each row, or to the mean of its squares; None only for
            RMSNorm, as in `torch.nn.RMSNorm`.
        elementwise_affine: learn a `weight` and, unless `bias=False` or for RMSNorm, a `bias`.
        bias: learn a `bias`; ignored without `elementwise_affine` and for RMSNorm.
        scale: multiplies the transform.
        norm: `"backward"`, `"ortho"` or `"forward"`, as in `torch.fft`.
        norm_first: normalise what the transform reads, not the sum.
        norm_type: `"layer"` or `"rms"`.
        device: device of the parameters.
        dtype: dtype of the parameters. The input has the same dtype; beside float32 parameters also
            a 16-bit one, and under autocast any.

    Raises:
        TypeError: `hidden_size` is not an integer, `eps` or `scale` not a number, `norm_first` not
            a bool, or `dtype` not supported.
        ValueError: `hidden_size` is less than 1, `eps` negative, `eps` or `scale` not finite,
            `norm` is none of the three, or `norm_type` is neither of the two.

    Shape: input and output are `[..., seq, hidden_size]` and have the same dtype, except under
    autocast. `lengths` and `round_to` of a call are as in `fnet_kernels.fused_fourier_mix`.

    >>> import torch
    >>> from fnet_kernels import FusedFourierMix
    >>> mix = FusedFourierMix(768)
    >>> mix(torch.randn(8, 512, 768)).shape
    torch.Size([8, 512, 768])
    >>> pre_norm = FusedFourierMix(768, eps=None, norm="ortho", norm_first=True, norm_type="rms")
    >>> list(pre_norm.state_dict())
    ['weight']
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        hidden_size: int,
        eps: float | None = LAYER_NORM_EPS,
        *,
        elementwise_affine: bool = True,
        bias: bool = True,
        scale: float = 1.0,
        norm: Norm = "backward",
        norm_first: bool = False,
        norm_type: NormType = "layer",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size = check_size("FusedFourierMix", "hidden_size", hidden_size)
        check_norm_type("FusedFourierMix", norm_first, norm_type)
        check_eps("FusedFourierMix", eps, optional=norm_type == "rms")
        check_scale("FusedFourierMix", scale)
        check_norm("FusedFourierMix", norm)
        check_dtype("FusedFourierMix", dtype)
        check_bool("FusedFourierMix", "elementwise_affine", elementwise_affine)
        check_bool("FusedFourierMix", "bias", bias)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.scale = constant_scale(scale)
        self.norm = norm
        self.norm_first = norm_first
        self.norm_type = norm_type
        has_bias = elementwise_affine and bias and norm_type != "rms"
        for name, wanted in (("weight", elementwise_affine), ("bias", has_bias)):
            values = torch.empty(self.hidden_size, device=device, dtype=dtype) if wanted else None
            self.register_parameter(name, None if values is None else nn.Parameter(values))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set `weight` to ones and `bias` to zeros."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self, x: Tensor, lengths: Integers | None = None, round_to: int | None = None
    ) -> Tensor:
        # Without weight and bias, fused_fourier_mix cannot check the hidden size.
        sized = isinstance(x, Tensor) and x.dim() and (not x.is_nested or x.layout is torch.jagged)
        if sized and x.size(-1) != self.hidden_size:
            raise ValueError(
                f"FusedFourierMix: x must have hidden size {self.hidden_size} as its last axis;"
                f" got shape {tuple(x.shape)}"
            )
        return fused_fourier_mix(
            x,
            self.weight,
            self.bias,
            self.eps,
            scale=self.scale,
            norm=self.norm,
            lengths=lengths,
            round_to=round_to,
            norm_first=self.norm_first,
            norm_type=self.norm_type,
        )

    def extra_repr(self) -> str:
        other = self.norm_first or self.norm_type != "layer"
        block = f", norm_first={self.norm_first}, norm_type={self.norm_type}" if other else ""
        return (
            f"{self.hidden_size}, eps={self.eps}, elementwise_affine={self.elementwise_affine},"
            f" bias={self.bias is not None}, scale={float(self.scale)}, norm={self.norm}{block}"
        )
