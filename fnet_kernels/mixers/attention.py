"""Self-attention as a mixer, for comparisons and for hybrids of the two."""

from __future__ import annotations

from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.functional import scaled_dot_product_attention

from fnet_kernels._initial import draw
from fnet_kernels._ops.checks import check_mask, check_probability, check_size, check_std, kind
from fnet_kernels.mixers.checks import check_dtype_of_parameters
from fnet_kernels.mixers.registry import register_mixer

_HEAD_SIZE = 64  # of BERT


@register_mixer("attention")
class SelfAttention(nn.Module):
    """Multi-head self-attention with BERT's parameter names.

    `self.query`, `self.key`, `self.value` and `output.dense` are linear maps with bias; weights and
    biases start from N(0, initializer_range^2), as in FNet's code (`f_net/layers.py`).

    Args:
        hidden_size: length of the last axis.
        seq_len: ignored; attention takes any length.
        num_attention_heads: None for one head per 64 channels, as in BERT, at least one; fewer if
            that does not divide `hidden_size`.
        dropout: dropout probability of the attention weights. Torch's flash attention on a CPU has
            none: with dropout, training keeps `[..., heads, seq, seq]` weights in memory, and at
            4,096 tokens takes about five times as long.
        initializer_range: standard deviation of the initial weights and biases.

    Shape: input and output are `[..., seq, hidden_size]`. `key_mask`, `[..., seq]`, is true or 1
    for the tokens that are attended to; if all are masked, the attention is zero.

    Raises:
        TypeError: a size is not an integer, `dropout` or `initializer_range` not a number, x not a
            tensor in the dtype of the parameters, or `key_mask` not a tensor.
        ValueError: a size is less than 1, the heads do not divide `hidden_size`, `dropout` is
            outside 0 to 1, `initializer_range` negative or not finite, or x or `key_mask` has
            another shape.

    >>> import torch
    >>> from fnet_kernels.mixers import SelfAttention
    >>> SelfAttention(64, num_attention_heads=4)(torch.randn(2, 128, 64)).shape
    torch.Size([2, 128, 64])
    """

    def __init__(
        self,
        hidden_size: int,
        seq_len: int | None = None,
        *,
        num_attention_heads: int | None = None,
        dropout: float = 0.1,
        initializer_range: float = 0.02,
    ) -> None:
        super().__init__()
        hidden_size = check_size("attention", "hidden_size", hidden_size)
        if num_attention_heads is None:
            most = max(1, hidden_size // _HEAD_SIZE)
            num_attention_heads = next(n for n in range(most, 0, -1) if hidden_size % n == 0)
        heads = check_size("attention", "num_attention_heads", num_attention_heads)
        if hidden_size % heads:
            raise ValueError(
                f"attention: num_attention_heads must divide hidden_size={hidden_size}, got {heads}"
            )
        check_probability("attention", "dropout", dropout)
        self.self = _Heads(hidden_size, heads, dropout)
        self.output = nn.ModuleDict({"dense": nn.Linear(hidden_size, hidden_size)})
        check_std("attention", initializer_range)
        self.initializer_range = initializer_range
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights and biases from N(0, initializer_range^2)."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                draw(layer, self.initializer_range, bias_std=self.initializer_range)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        y: Tensor = self.output["dense"](self.self(x, key_mask))
        return y


class _Heads(nn.Module):
    """All of attention but the projection of its output."""

    def __init__(self, hidden_size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, key_mask: Tensor | None) -> Tensor:
        _check(x, self.query)
        if key_mask is not None:
            check_mask("attention", "key_mask", key_mask, x.shape[:-1])
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for project in (self.query, self.key, self.value)
        )
        y = scaled_dot_product_attention(
            q,
            k,
            v,
            # [..., 1, 1, seq]: the same for every head and query.
            attn_mask=None if key_mask is None else key_mask.bool()[..., None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return y.transpose(-3, -2).flatten(-2)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, dropout={self.dropout}"


def _check(x: Tensor, projection: nn.Linear) -> None:
    if not isinstance(x, (Tensor, Proxy)):
        raise TypeError(f"attention: x must be a torch.Tensor, got {kind(x)}")
    if isinstance(x, Proxy):  # of which torch.fx records the calls
        return
    if x.dim() < 2 or x.size(-1) != projection.in_features:
        raise ValueError(
            f"attention: x must have shape [..., seq, {projection.in_features}]; got shape"
            f" {tuple(x.shape)}"
        )
    weight = projection.weight
    if isinstance(weight, Tensor) and weight.is_floating_point():  # not quantised
        check_dtype_of_parameters("attention", x, weight.dtype)
