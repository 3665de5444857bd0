"""The project's bars on a GPU: `python -m bench.gpu`."""
