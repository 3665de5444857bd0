"""The sizes of the published FNet models (arXiv 2105.03824).

defines: LAYER_NORM_EPS, SIZES
"""

from __future__ import annotations

#: Added to the variance of each row, in every LayerNorm.
LAYER_NORM_EPS = 1e-12

#: By the names of Hugging Face configurations; BERT's models of these names have the same sizes.
SIZES: dict[str, dict[str, int]] = {
    "Base": {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072},
    "Large": {"num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096},
}
