"""Studies: the same training run for each mixer and seed, and their collected results."""
