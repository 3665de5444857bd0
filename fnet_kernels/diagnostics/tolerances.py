"""The largest error that a result may have, over the largest true value, by dtype.

defines: OURS, ANY_METHOD

The names are those of torch's dtypes: the doctor reads them where torch does not import. Tests of
accuracy are stricter and have tolerances of their own.
"""

from __future__ import annotations

#: Results of this library, at small shapes.
OURS = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 2e-2, "float16": 2e-3}

#: Results of any method that computes the same function, at any length.
ANY_METHOD = {"float32": 1e-4, "bfloat16": 3e-2, "float16": 4e-3}
