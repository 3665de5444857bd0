"""The baseline: BERT's self-attention sublayer, as fast as torch runs it.

defines: SelfAttention
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fnet_kernels._sizes import LAYER_NORM_EPS


class SelfAttention(nn.Module):
    """BERT's attention sublayer: LayerNorm(x + W_o SDPA(W_q x, W_k x, W_v x)).

    As in BERT-Base, heads are 64 wide (one head where hidden is no multiple of 64). Q, K and V
    come from one matrix product, the fastest way to write it. x and y: [batch, seq, hidden].
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.heads = hidden // 64 if hidden % 64 == 0 else 1
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.projection = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each sequence; nothing is masked."""
        split = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value)
        y: Tensor = self.norm(x + self.projection(mixed.transpose(1, 2).flatten(2)))
        return y
