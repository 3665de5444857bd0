"""The project's targets on a CPU, and their measurement: `python -m bench.targets`."""
