"""The project's bars on a CPU: what each asks, what was measured. `python -m bench.bars`."""
