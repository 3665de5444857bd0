"""Build tools: the PEP 517 backend and the CUDA compilation. setup.py uses them."""
