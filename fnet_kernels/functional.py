"""The public functions: they check their arguments and call one operator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, rms_norm

# These imports register gradients, shardings, decompositions, fake kernels and vmap rules.
from fnet_kernels._norm import Norm
from fnet_kernels._norm_type import NormType, check_norm_type
from fnet_kernels._ops import (  # noqa: F401
    autocast,
    autograd,
    dtensor,
    exporters,
    fake,
    mixing,
    vmap,
)
from fnet_kernels._ops.checks import (
    are_plain,
    check_affine,
    check_eps,
    check_residual,
    check_x,
    overridden,
)
from fnet_kernels._ops.derivatives import is_eager
from fnet_kernels._ops.prenorm import prenorm_fourier_mix
from fnet_kernels._ops.residual import residual_fourier_mix
from fnet_kernels._ops.scale import FLOAT32_MAX, total_scale
from fnet_kernels._ops.sequences import Integers
from fnet_kernels._sizes import LAYER_NORM_EPS
from fnet_kernels.varlen import (
    fourier_mix_lengths,
    fused_fourier_mix_lengths,
    lengths_given,
    refuse_lengths,
)

_OPTIONAL = (Tensor, type(None))
_NUMBERS = (int, float)
#: x, weight, bias, eps, scale
_Arguments = tuple[Tensor, Tensor | None, Tensor | None, float | None, float]

# The default of scale is the integer 1, because torch.compile(dynamic=True) keeps 1 a constant but
# makes 1.0 an input of the graph.


def fourier_mix(
    x: Tensor,
    *,
    scale: float = 1,
    norm: Norm = "backward",
    residual: Tensor | None = None,
    lengths: Integers | None = None,
    round_to: int | None = None,
) -> Tensor:
    """Mix tokens: `scale * Re(FFT2(x))`, the real part of the DFT over the last two axes.

    By default the transform is unnormalised, as in section 3.2 of the FNet paper (arXiv
    2105.03824). The operator is its own adjoint, so gradients of every order apply the same
    operator.

    Args:
        x: `[..., seq, hidden]` with any number of leading axes and any strides; float32, float64,
            bfloat16 or float16. 16-bit inputs are computed in float32 and rounded once. An empty
            `x` gives an empty result.
        scale: multiplies the transform; finite. A scale that is computed from dynamic sizes under
            `torch.compile` or `torch.export`, or made dynamic by `dynamic=True`, stays dynamic: one
            graph serves all its values, and torch's own operators compute what follows the
            transform.
        norm: `"backward"`, `"ortho"` or `"forward"`, as in `torch.fft`: the transform is multiplied
            by 1, `(seq * hidden) ** -0.5` or `1 / (seq * hidden)`, and by `scale` too.
        residual: added to the transform in the same pass: `residual + scale * Re(FFT2(x))`. It has
            the shape, dtype and device of `x`, and may be `x`; under autocast any supported dtype.
        lengths: the length of each sequence in a padded `x`, or None for `seq`. The first
            `lengths[i]` rows of sequence i are mixed over that length; the other rows are ignored,
            and are zeros in the result and in the gradient. A list of ints in the order of the
            leading axes; an int32 or int64 tensor with the leading axes of `x`; or a boolean mask
            `[..., seq]`, True for the first tokens of each sequence. Reading a CUDA tensor
            synchronises with the device. A nested tensor of jagged layout has lengths of its own.
            Not with `residual`. `torch.jit.trace` and `torch.vmap` treat a tensor as they treat
            `x`; a list becomes part of a trace.
        round_to: as in `fourier_mix_varlen`; only with `lengths` or a nested tensor.

    Returns:
        A contiguous tensor with the shape and dtype of `x`; under `torch.autocast` in float32 for
        16-bit `x`, as from `torch.fft`. A non-finite element of `x` makes its own `[seq, hidden]`
        matrix non-finite (except for single elements at a few lengths that are multiples of 4).
        Other matrices are unaffected.

    Raises:
        TypeError: `x` is not a tensor of one of these dtypes, `scale` or `round_to` is not a
            number, `residual` has another type or dtype than `x`, or `lengths` has another type.
        ValueError: `x` has fewer than two axes, `scale` is not finite, `norm` is none of the three,
            `residual` has another shape or device than `x` or is given beside `lengths`, there is
            not one length from 0 to `seq` for each sequence, a mask is True after False, `lengths`
            is on meta and `x` is not, `round_to` is less than 1 or given without lengths, or this
            build has no kernels for the device of `x`.

    >>> import torch
    >>> from fnet_kernels import fourier_mix
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> fourier_mix(x)
    tensor([[10., -2.],
            [-4.,  0.]])
    >>> fourier_mix(x, residual=torch.ones(2, 2))
    tensor([[11., -1.],
            [-3.,  1.]])
    """
    if residual is not None:
        refuse_lengths("fourier_mix", "a residual", lengths, round_to)
        return _residual(x, residual, scale, norm)
    if not isinstance(x, Tensor):
        given = lengths_given(lengths, round_to)
        return overridden(fourier_mix, ("x",), (x,), scale=scale, norm=norm, **given)
    if lengths is not None or round_to is not None or x.is_nested:
        return fourier_mix_lengths(x, scale, norm, lengths, round_to)
    return _transform("fourier_mix", mixing.fourier_mix, x, scale, norm)


def _residual(x: Tensor, residual: Tensor, scale: float, norm: Norm) -> Tensor:
    """`fourier_mix` with a residual."""
    if not (isinstance(x, Tensor) and isinstance(residual, Tensor)):
        names, given = ("x", "residual"), (x, residual)
        return overridden(fourier_mix, names, given, keyword_only=1, scale=scale, norm=norm)
    is_x = residual is x
    x = check_x("fourier_mix", x)
    residual = x if is_x else check_residual("fourier_mix", x, residual)
    scale, symbolic = total_scale("fourier_mix", x, scale, norm)
    if symbolic:
        wide = autograd.compute(residual)
        return (wide + scale * fourier_mix(autograd.compute(x))).to(x.dtype)
    if is_x:
        return mixing.fourier_mix(x, scale, True)
    return residual_fourier_mix(x, residual, scale)


def hartley_mix(x: Tensor, *, scale: float = 1, norm: Norm = "backward") -> Tensor:
    """Mix tokens: `scale * (Re(FFT2(x)) - Im(FFT2(x)))`, a Hartley transform of the last two axes.

    The kernel `cas(t) = cos(t) + sin(t)` of `t = 2 pi (k n / seq + l m / hidden)` replaces the
    exponential of the DFT (Bracewell, "Discrete Hartley transform", JOSA 73(12), 1983). Unlike
    `fourier_mix`, it keeps all of `x`: applied twice, it is `seq * hidden` times the identity, and
    with `norm="ortho"` its own inverse. It is also its own adjoint, so gradients of every order
    apply the same operator. `torch.fft` computes half of the spectrum, and one pass computes the
    result from it, a few sequences at a time.

    Args:
        x: `[..., seq, hidden]` with any number of leading axes and any strides; float32, float64,
            bfloat16 or float16. 16-bit inputs are computed in float32 and rounded once. An empty
            `x` gives an empty result.
        scale: as in `fourier_mix`.
        norm: as in `fourier_mix`.

    Returns:
        A contiguous tensor with the shape and dtype of `x`; under `torch.autocast` in float32 for
        16-bit `x`, as from `torch.fft`. A non-finite element of `x` makes its own `[seq, hidden]`
        matrix non-finite. Other matrices are unaffected.

    Raises:
        TypeError: `x` is not a dense tensor of one of these dtypes, or `scale` is not a number.
        ValueError: `x` has fewer than two axes, `scale` is not finite, `norm` is none of the three,
            or this build has no kernels for the device of `x`.

    >>> import torch
    >>> from fnet_kernels import hartley_mix
    >>> hartley_mix(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[ 6.0000, -2.3660, -0.6340]])
    """
    if not isinstance(x, Tensor):
        return overridden(hartley_mix, ("x",), (x,), scale=scale, norm=norm)
    return _transform("hartley_mix", mixing.hartley_mix, x, scale, norm)


def _transform(name: str, op: Callable[..., Tensor], x: Tensor, scale: float, norm: Norm) -> Tensor:
    x = check_x(name, x)
    scale, symbolic = total_scale(name, x, scale, norm)
    if symbolic:
        return (scale * _transform(name, op, autograd.compute(x), 1, "backward")).to(x.dtype)
    return op(x, scale)


def fused_fourier_mix(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float | None = LAYER_NORM_EPS,
    *,
    scale: float = 1,
    norm: Norm = "backward",
    norm_first: bool = False,
    norm_type: NormType = "layer",
    lengths: Integers | None = None,
    round_to: int | None = None,
) -> Tensor:
    """The mixing sublayer of FNet in one pass: `LayerNorm(x + scale * Re(FFT2(x)))`.

    Section 3.2 of the FNet paper (arXiv 2105.03824). `weight`, `bias` and `eps` are those of
    `torch.nn.functional.layer_norm` over the last axis. Two arguments select other blocks:

    | | `norm_type="layer"` | `norm_type="rms"` |
    | --- | --- | --- |
    | `norm_first=False` | `LayerNorm(x + M(x))` | `RMSNorm(x + M(x))` |
    | `norm_first=True` | `x + M(LayerNorm(x))` | `x + M(RMSNorm(x))` |

    with `M(x) = scale * Re(FFT2(x))`. Pre-norm: Xiong et al., "On Layer Normalization in the
    Transformer Architecture" (arXiv 2002.04745, figure 1b). RMSNorm, without mean and bias: Zhang
    and Sennrich, "Root Mean Square Layer Normalization" (arXiv 1910.07467, equation 4).

    Args:
        x: `[..., seq, hidden]` with any number of leading axes and any strides; float32, float64,
            bfloat16 or float16. 16-bit inputs are computed in float32 and rounded once. An empty
            `x` gives an empty result.
        weight: `[hidden]` on the device of `x`, in its dtype; with 16-bit `x` it may be float32:
            then it is not rounded and its gradient is float32; under autocast any supported dtype.
            None for ones.
        bias: `[hidden]`, likewise; None for zeros. RMSNorm has none.
        eps: added to the variance of each row, or to the mean of its squares; finite and not
            negative. With `norm_type="rms"` it may be None, as in `torch.nn.RMSNorm`: the machine
            epsilon of the dtype that computes, float32 or float64.
        scale: as in `fourier_mix`.
        norm: as in `fourier_mix`; that of the transform.
        norm_first: normalise what the transform reads, not the sum.
        norm_type: `"layer"` or `"rms"`.
        lengths: as in `fourier_mix`. Rows past a length are zeros, not `bias`. Not with
            `norm_first` or `norm_type="rms"`.
        round_to: as in `fourier_mix`.

    Returns:
        A contiguous tensor with the shape and dtype of `x`; under `torch.autocast` in float32 for
        16-bit `x`, as from the formula in `torch.fft` and `layer_norm`. If a gradient is required,
        autograd saves the normalised rows and one number per row, with `norm_first` `x` itself and
        two numbers per row, else nothing. Non-finite elements of `x` act as in `fourier_mix`.

    Raises:
        TypeError: an argument has the wrong type or an unsupported dtype, or dtypes differ.
        ValueError: `x` has fewer than two axes, the shape of `weight` or `bias` is not `[hidden]`,
            `eps` is negative, `eps` or `scale` is not finite, `norm` is none of the three,
            `norm_type` is neither of the two, or is `"rms"` with a bias, lengths are wrong as in
            `fourier_mix` or given with `norm_first` or `"rms"`, devices differ, or this build has
            no kernels for the device.

    >>> import torch
    >>> from fnet_kernels import fused_fourier_mix
    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> fused_fourier_mix(x)
    tensor([[ 1., -1.],
            [-1.,  1.]])
    >>> fused_fourier_mix(x, norm_first=True)
    tensor([[ 1., -2.],
            [ 3.,  4.]])
    """
    default = norm_first is False and norm_type == "layer"
    if (
        is_eager()
        and default
        and lengths is None
        and round_to is None
        and norm == "backward"
        and type(scale) in _NUMBERS
        and -FLOAT32_MAX <= scale <= FLOAT32_MAX
        and type(eps) is float
        and are_plain(x, weight, bias)
    ):
        try:
            return autograd.fused_fourier_mix_plain(x, weight, bias, eps, scale)
        except RuntimeError as error:
            refused = error
        try:
            # The operator refuses all that the checks refuse; they have the better words.
            _checked(x, weight, bias, eps, scale, norm)
            raise refused
        finally:
            del refused  # its traceback holds this frame, and so the tensors
    if not default:
        check_norm_type("fused_fourier_mix", norm_first, norm_type)
        what = 'norm_first or norm_type="rms"'
        refuse_lengths("fused_fourier_mix", what, lengths, round_to)
        return _block(x, weight, bias, eps, scale, norm, norm_first, norm_type)
    if not (
        isinstance(x, Tensor) and isinstance(weight, _OPTIONAL) and isinstance(bias, _OPTIONAL)
    ):
        return overridden(
            fused_fourier_mix,
            ("x", "weight", "bias"),
            (x, weight, bias),
            eps=eps,
            scale=scale,
            norm=norm,
            **lengths_given(lengths, round_to),
        )
    if lengths is not None or round_to is not None or x.is_nested:
        return fused_fourier_mix_lengths(x, weight, bias, eps, scale, norm, lengths, round_to)
    args, symbolic = _checked(x, weight, bias, eps, scale, norm)
    return _composed(*args) if symbolic else autograd.fused_fourier_mix(*args)


def _checked(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | None,
    scale: float,
    norm: Norm,
) -> tuple[_Arguments, bool]:
    """The arguments of an operator of `fused_fourier_mix`, and whether the scale is symbolic."""
    name = "fused_fourier_mix"
    x = check_x(name, x)
    scale, symbolic = total_scale(name, x, scale, norm)
    check_eps(name, eps)
    if weight is not None or bias is not None:
        weight, bias = check_affine(name, x, weight, bias)
    return (x, weight, bias, eps, scale), symbolic


def _block(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | None,
    scale: float,
    norm: Norm,
    norm_first: bool,
    norm_type: NormType,
) -> Tensor:
    """`fused_fourier_mix` for pre-norm or RMSNorm."""
    if not (
        isinstance(x, Tensor) and isinstance(weight, _OPTIONAL) and isinstance(bias, _OPTIONAL)
    ):
        names, given = ("x", "weight", "bias"), (x, weight, bias)
        options = {"norm_first": norm_first, "norm_type": norm_type}
        return overridden(
            fused_fourier_mix, names, given, eps=eps, scale=scale, norm=norm, **options
        )
    check_norm_type("fused_fourier_mix", norm_first, norm_type, bias)
    rms = norm_type == "rms"
    if eps is None and rms:
        eps = torch.finfo(torch.promote_types(x.dtype, torch.float32)).eps
    args, symbolic = _checked(x, weight, bias, eps, scale, norm)
    if symbolic:
        return _composed(*args, norm_first, rms)
    if norm_first:
        return prenorm_fourier_mix(*args, rms)[0]
    return autograd.RMS.call(*args)


def _composed(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float | None,
    scale: float,
    norm_first: bool = False,
    rms: bool = False,
) -> Tensor:
    """The formula of `fused_fourier_mix` for a symbolic scale, which no operator takes."""
    assert eps is not None
    u = autograd.compute(x)
    wide_weight, wide_bias = (None if t is None else autograd.compute(t) for t in (weight, bias))

    def normalised(t: Tensor) -> Tensor:
        if rms:
            return rms_norm(t, t.shape[-1:], wide_weight, eps)
        return layer_norm(t, t.shape[-1:], wide_weight, wide_bias, eps)

    if norm_first:
        y = u + scale * fourier_mix(normalised(u))
    else:
        y = normalised(u + scale * fourier_mix(u))
    return y.to(x.dtype)
