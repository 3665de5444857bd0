"""The project's targets on a GPU, and their measurement: `python -m bench.gpu`."""
