"""`FourierAttention`: Fourier mixing with the call signature of `torch.nn.MultiheadAttention`."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from fnet_kernels._norm import Norm, check_norm
from fnet_kernels._ops.checks import check_bool, check_size, kind
from fnet_kernels._ops.scale import check_scale, constant_scale
from fnet_kernels._ops.unreadable import why_without_values
from fnet_kernels._padding import Padding
from fnet_kernels.functional import fourier_mix

_NAME = "FourierAttention"
_NO_MASK = (
    "every output of a Fourier transform depends on every position; leave the mask out, and pad"
    " or trim to the length that the model was trained on"
)


class FourierAttention(nn.Module):
    """A replacement for a self-attention module: `scale * Re(FFT2(x))`, without parameters.

    This is the bare transform. The layer around it adds the residual and the LayerNorm, as it does
    for `torch.nn.MultiheadAttention`, whose signature and attributes this module has. It works as
    `self_attn` of `torch.nn.TransformerEncoderLayer`, in training and in evaluation.

    A Fourier transform has no heads, projections or attention weights, so `num_heads`, `dropout`,
    `bias`, `device` and `dtype` change nothing.

    Args:
        embed_dim: hidden size, the length of the last axis.
        num_heads: kept as an attribute; divides `embed_dim`.
        dropout: kept as an attribute.
        bias: ignored.
        add_bias_kv: must be False.
        add_zero_attn: must be False.
        kdim: None or `embed_dim`.
        vdim: None or `embed_dim`.
        batch_first: whether the input is `[batch, seq, hidden]`; if not, `[seq, batch, hidden]`.
        device: ignored.
        dtype: ignored.
        scale: multiplies the transform.
        norm: `"backward"`, `"ortho"` or `"forward"`, as in `torch.fft`.
        padding: what a `key_padding_mask` means: with "tokens" an error, because the transform
            mixes all tokens; with "zero" that padding is zeros; with "exact" that each sequence is
            transformed over its own length. With the last two, padding comes out as zeros.
        round_to: with "exact", over the next multiple of it, filled with zeros.

    Raises:
        TypeError: `embed_dim`, `num_heads` or `round_to` is not an integer, or `scale` not a
            number.
        ValueError: `embed_dim` or `num_heads` is less than 1, `num_heads` does not divide
            `embed_dim`, `scale` is not finite, `norm` or `padding` is none of the three, `round_to`
            is less than 1 or given without "exact", or another argument requires a feature that a
            transform does not have.

    >>> import torch
    >>> from torch import nn
    >>> from fnet_kernels import FourierAttention
    >>> layer = nn.TransformerEncoderLayer(d_model=64, nhead=4, batch_first=True)
    >>> layer.self_attn = FourierAttention(64, batch_first=True)
    >>> encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
    >>> encoder(torch.randn(2, 128, 64)).shape
    torch.Size([2, 128, 64])
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int = 1,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        scale: float = 1.0,
        norm: Norm = "backward",
        padding: str = "tokens",
        round_to: int | None = None,
    ) -> None:
        super().__init__()
        check_bool(_NAME, "batch_first", batch_first)
        embed_dim = check_size(_NAME, "embed_dim", embed_dim)
        num_heads = check_size(_NAME, "num_heads", num_heads)
        if embed_dim % num_heads:
            raise ValueError(
                f"{_NAME}: num_heads must divide embed_dim, {embed_dim}; got {num_heads}"
            )
        for name, flag in (("add_bias_kv", add_bias_kv), ("add_zero_attn", add_zero_attn)):
            if flag:
                raise ValueError(f"{_NAME}: {name} must be False, got {flag}")
        for name, dim in (("kdim", kdim), ("vdim", vdim)):
            if dim not in (None, embed_dim):
                raise ValueError(f"{_NAME}: {name} must be None or embed_dim, got {dim}")
        check_scale(_NAME, scale)
        check_norm(_NAME, norm)
        self.padding = Padding(padding, round_to).checked(_NAME)
        self.embed_dim = self.kdim = self.vdim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.scale = constant_scale(scale)
        self.norm = norm
        self.add_zero_attn = False
        self._qkv_same_embed_dim = True
        # Without in_proj_bias, nn.TransformerEncoderLayer calls this module instead of its fused
        # attention.
        self.in_proj_weight = self.in_proj_bias = self.bias_k = self.bias_v = None
        self.out_proj = _NoProjection()

    def forward(
        self,
        query: Tensor | None = None,
        key: Tensor | None = None,
        value: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        *,
        attention_mask: Tensor | None = None,
        mask: Tensor | None = None,
        hidden_states: Tensor | None = None,
        **others: object,
    ) -> tuple[Tensor, None]:
        """Transform `query`. Every output depends on every position, so no weight can be masked.

        Args:
            query: `[batch, seq, hidden]` or `[seq, batch, hidden]`, see `batch_first`, or
                `[seq, hidden]`; dtypes as in `fourier_mix`.
            key: None or `query` itself. A view of the same elements counts as `query`, except
                under `torch.compile`.
            value: likewise.
            key_padding_mask: None or a mask of zeros (False), which masks nothing. With `padding`
                "zero" or "exact" it may mask the end of each sequence (True, or a float other than
                0).
            need_weights: ignored; there are no attention weights to return.
            attn_mask: None or a mask of zeros (False), which masks nothing.
            average_attn_weights: ignored.
            is_causal: must be False.
            attention_mask: as in Hugging Face transformers: None; integers or booleans without
                zeros; or floats that are all 0 or all 1.
            mask: likewise.
            hidden_states: another name of `query`.
            others: other arguments of attention modules; each must be None or False.

        Returns:
            The transform, with the shape and dtype of `query`, and None for the attention weights.

        Raises:
            TypeError: an argument has the wrong type, or one of `others` is set.
            ValueError: a shape is wrong, `key` or `value` is not `query`, a mask would mask
                something (under `torch.compile`, a RuntimeError at run time), or `torch.vmap` maps
                over one that must mask nothing.
        """
        x = _one_of(query, hidden_states)
        if not isinstance(x, Proxy):  # of which torch.fx records the calls
            self._check_query(x)
        for name, other in (("key", key), ("value", value)):
            if other is not None and other is not x:
                _check_same(name, other, x)
        if is_causal:
            raise ValueError(f"{_NAME}: is_causal must be False: {_NO_MASK}")
        for name, given in others.items():
            if given is not None and given is not False:
                raise TypeError(
                    f"{_NAME}: {name} must be None or False, because a Fourier transform has no"
                    f" use for it; got {given!r}"
                )
        zero_masks = {"attn_mask": attn_mask}
        if self.padding.meaning == "tokens":
            zero_masks["key_padding_mask"] = key_padding_mask
        for name, zeros in zero_masks.items():
            if zeros is not None:
                _refuse(name, _tensor(name, zeros).any())
        for name, kept in (("attention_mask", attention_mask), ("mask", mask)):
            if kept is not None:
                _refuse(name, _drops_any(_tensor(name, kept)))
        if self.batch_first:
            return self._mix(x, key_padding_mask), None
        # Swaps seq and batch of [seq, batch, hidden], and nothing of [seq, hidden].
        return self._mix(x.transpose(0, -2), key_padding_mask).transpose(0, -2), None

    def _mix(self, x: Tensor, key_padding_mask: Tensor | None) -> Tensor:
        name = "key_padding_mask"
        kept = None if key_padding_mask is None else _tensor(name, key_padding_mask) == 0
        sequences = self.padding.sequences(_NAME, x, key_padding_mask=kept)
        if sequences is None:
            return fourier_mix(x, scale=self.scale, norm=self.norm)
        rows = sequences.cleared(sequences.enter(x))
        return sequences.leave(sequences.fourier_mix(rows, scale=self.scale, norm=self.norm))

    def _check_query(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"{_NAME}: query must be a torch.Tensor, got {kind(x)}")
        if x.is_nested:
            raise TypeError(f"{_NAME}: query must be a dense tensor, got a nested tensor")
        if x.dim() not in (2, 3) or x.shape[-1] != self.embed_dim:
            axes = "batch, seq" if self.batch_first else "seq, batch"
            raise ValueError(
                f"{_NAME}: query must have shape [{axes}, {self.embed_dim}] or"
                f" [seq, {self.embed_dim}]; got {tuple(x.shape)}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.embed_dim}, batch_first={self.batch_first}, scale={float(self.scale)},"
            f" norm={self.norm}{self.padding}"
        )


class _NoProjection:
    """The `out_proj` of a transform, which has none.

    An `nn.TransformerEncoder` that was built with attention looks at `out_proj.weight` before it
    converts a padded batch to a nested tensor. `__torch_function__` prevents that conversion.
    """

    @property
    def weight(self) -> _NoProjection:
        return self

    bias = weight

    @classmethod
    def __torch_function__(cls, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError(f"{_NAME} has no projections")

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{_NAME} has no projections, so no {name!r} of one")


def _one_of(query: Tensor | None, hidden_states: Tensor | None) -> Tensor:
    if (query is None) == (hidden_states is None):
        raise TypeError(f"{_NAME}: expected one of query and hidden_states")
    return hidden_states if query is None else query  # type: ignore[return-value]


def _check_same(name: str, other: Tensor, query: Tensor) -> None:
    traced = torch.compiler.is_compiling() or isinstance(query, Proxy)  # without memory to compare
    if isinstance(other, Tensor) and not traced and _is_view(other, query):
        return
    got = f"one of shape {tuple(other.shape)}" if isinstance(other, Tensor) else kind(other)
    raise ValueError(
        f"{_NAME}: {name} must be the same tensor as query, because a Fourier transform mixes one"
        f" sequence with itself; got {got} (pass a mask by its name)"
    )


def _is_view(a: Tensor, b: Tensor) -> bool:
    """As `a.is_set_to(b)`, which meta tensors lack."""
    same = torch._C._is_alias_of(a, b)  # type: ignore[attr-defined]
    places = [(t.storage_offset(), t.shape, t.stride()) for t in (a, b)]
    return same and places[0] == places[1]


def _tensor(name: str, mask: Tensor) -> Tensor:
    if not isinstance(mask, Tensor):
        raise TypeError(f"{_NAME}: {name} must be a torch.Tensor or None, got {kind(mask)}")
    return mask


def _drops_any(mask: Tensor) -> Tensor:
    """Whether a mask of transformers drops a position: 1 keeps it, and so does adding 0."""
    drops = (mask != 1).any()
    return drops & mask.any() if mask.is_floating_point() else drops


def _refuse(name: str, masks: Tensor) -> None:
    """Raise an error if the 0-dimensional `masks` is true."""
    message = f"{_NAME}: {name} must not mask anything: {_NO_MASK}"
    if torch.compiler.is_compiling():  # a graph cannot branch on a value
        torch._assert_async(~masks, message)
    elif masks.is_meta:
        return
    elif reason := why_without_values(masks):
        raise ValueError(f"{_NAME}: {name} must be None, or a tensor with values; got {reason}")
    elif masks:
        raise ValueError(message)
