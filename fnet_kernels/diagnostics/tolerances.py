"""Tolerances by dtype: the largest allowed error, relative to the largest reference value.

defines: OURS, ANY_METHOD

The keys are names, not torch dtypes, because the doctor imports this module even if torch does not
import. The accuracy tests use stricter tolerances of their own.
"""

from __future__ import annotations

#: For the results of this library at small shapes.
OURS = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 2e-2, "float16": 2e-3}

#: For any method that computes the same function, at any length.
ANY_METHOD = {"float32": 1e-4, "bfloat16": 3e-2, "float16": 4e-3}
