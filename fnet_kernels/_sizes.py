"""The sizes of the published FNet models (arXiv 2105.03824).

defines: LAYER_NORM_EPS, SIZES
"""

from __future__ import annotations

#: The default eps of every LayerNorm; it is added to the variance of each row.
LAYER_NORM_EPS = 1e-12

#: Keyword arguments of Hugging Face's `FNetConfig`. BERT-Base and BERT-Large have the same sizes.
SIZES: dict[str, dict[str, int]] = {
    "Base": {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072},
    "Large": {"num_hidden_layers": 24, "hidden_size": 1024, "intermediate_size": 4096},
}
