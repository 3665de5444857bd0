"""Data sets: where each comes from, how it is read and cut, and `load`, which gives it."""
