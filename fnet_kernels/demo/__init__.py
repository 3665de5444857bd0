"""`python -m fnet_kernels demo`: a Hugging Face FNet on real text, stock and patched."""
