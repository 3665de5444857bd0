"""The arguments `norm_first` and `norm_type`: where a block normalises, and how.

defines: NormType, check_norm_type
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from fnet_kernels._ops.checks import check_bool

NormType: TypeAlias = Literal["layer", "rms"]

_NAMES = ("layer", "rms")


def check_norm_type(op: str, norm_first: bool, norm_type: NormType, bias: Any = None) -> None:
    """Check both arguments, and that RMSNorm has no `bias`, which is neither None nor False."""
    check_bool(op, "norm_first", norm_first)
    if not (isinstance(norm_type, str) and norm_type in _NAMES):
        names = " or ".join(map(repr, _NAMES))
        raise ValueError(f"{op}: norm_type must be {names}; got {norm_type!r}")
    if norm_type == "rms" and bias is not None:
        raise ValueError(f'{op}: bias must be None with norm_type="rms", which has none')
