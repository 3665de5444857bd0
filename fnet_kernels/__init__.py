"""FNet's Fourier mixing for PyTorch: one fused operator, forward and backward, any float dtype.

>>> import torch, fnet_kernels
>>> x = torch.randn(8, 512, 768)
>>> y = fnet_kernels.fused_fourier_mix(x)  # LayerNorm(x + Re(FFT2(x)))
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = [
    "FNetEncoder",
    "FNetEncoderLayer",
    "FourierAttention",
    "FourierMix",
    "FusedFourierMix",
    "clear_caches",
    "explain",
    "fourier_mix",
    "fourier_mix_varlen",
    "fused_fourier_mix",
    "fused_fourier_mix_varlen",
    "hartley_mix",
    "hf",
    "mixers",
    "models",
    "reference",
]

try:
    from fnet_kernels import hf, mixers, models, reference
    from fnet_kernels.attention import FourierAttention
    from fnet_kernels.caches import clear_caches
    from fnet_kernels.diagnostics.explain import explain
    from fnet_kernels.encoder import FNetEncoder
    from fnet_kernels.encoder_layer import FNetEncoderLayer
    from fnet_kernels.functional import fourier_mix, fused_fourier_mix, hartley_mix
    from fnet_kernels.modules import FourierMix, FusedFourierMix
    from fnet_kernels.varlen import fourier_mix_varlen, fused_fourier_mix_varlen
except (ImportError, OSError) as error:  # OSError: a shared library of torch is missing
    # Importing the package must succeed, so that `python -m fnet_kernels doctor` can name the fix.
    # The names above raise this error on first access.
    _import_error = error

    def __getattr__(name: str) -> object:
        if name in __all__:
            raise ImportError(
                f"{_import_error} (run `python -m fnet_kernels doctor` for details)"
            ) from _import_error
        raise AttributeError(f"module 'fnet_kernels' has no attribute '{name}'")
