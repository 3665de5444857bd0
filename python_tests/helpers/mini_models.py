"""Small models of `fnet_kernels.models` and tokens for them.

defines: SEQ, ids, make
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fnet_kernels import models
from fnet_kernels.models import FNetConfig

SEQ = 16


def make(name: str = "FNetModel", **config: Any) -> Any:
    options = {"vocab_size": 100, "max_position_embeddings": SEQ, "initializer_range": 0.3}
    torch.manual_seed(0)
    return getattr(models, name)(FNetConfig.mini(**{**options, **config}))


def ids(*shape: int) -> Tensor:
    return torch.randint(4, 100, shape or (2, SEQ))
