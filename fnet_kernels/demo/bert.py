"""The baseline of a whole model: BERT of transformers, with torch's fused attention.

defines: make_bert
"""

from __future__ import annotations

from typing import Any

from torch import nn


def make_bert(sizes: dict[str, Any], positions: int) -> nn.Module:
    """A BertModel with random weights and no dropout.

    `sizes` are fields of its configuration, such as `hidden_size`. Heads are 64 wide, as in
    BERT-Base (one head where hidden_size is no multiple of 64).
    """
    from transformers import BertConfig, BertModel

    hidden = sizes["hidden_size"]
    fields: dict[str, Any] = {
        **sizes,
        "max_position_embeddings": max(512, positions),
        "num_attention_heads": hidden // 64 if hidden % 64 == 0 else 1,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "attn_implementation": "sdpa",
    }
    return BertModel(BertConfig(**fields))
