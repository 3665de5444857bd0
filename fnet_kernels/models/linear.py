"""Linear layers as the authors initialise them.

defines: dense, logits_layer
"""

from __future__ import annotations

from torch import nn

from fnet_kernels.models.config import FNetConfig


def dense(in_features: int, out_features: int, std: float, *, bias_std: float = 0.0) -> nn.Linear:
    """A linear layer with weights from N(0, std^2) and a bias from N(0, bias_std^2)."""
    layer = nn.Linear(in_features, out_features)
    nn.init.normal_(layer.weight, std=std)
    nn.init.normal_(layer.bias, std=bias_std)
    return layer


def logits_layer(config: FNetConfig, count: int) -> nn.Linear:
    """The last layer of a head, which makes `count` logits."""
    std = config.initializer_range
    return dense(config.hidden_size, count, std, bias_std=std)
