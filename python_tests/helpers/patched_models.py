"""Small FNet models of transformers that `patch_fnet` gave a meaning of padding.

defines: STATES, flattened, patched, singles
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fnet_kernels import hf
from python_tests.helpers.fnet_models import build, results
from python_tests.helpers.padded import LENGTHS, alone
from python_tests.helpers.padded_models import IDS

STATES = {"output_hidden_states": True}


def patched(name: str = "FNetModel", padding: str = "exact", **config: Any) -> Any:
    round_to = config.pop("round_to", None)
    model = build(name, hidden_dropout_prob=0.0, **config)
    hf.patch_fnet(model, padding=padding, round_to=round_to)
    return model


def singles(model: Any) -> list[list[Tensor]]:
    return alone(lambda ids: results(model, input_ids=ids, **STATES), IDS)


def flattened(**options: Any) -> dict[str, Any]:
    """The packed row that transformers makes of the sequences."""
    import transformers

    rows = [{"input_ids": ids[:n].tolist()} for ids, n in zip(IDS, LENGTHS, strict=True)]
    row = transformers.DataCollatorWithFlattening(**options)(rows)
    return {name: value for name, value in row.items() if name != "labels"}
