"""The benchmarks: contestants, measuring, reports, targets, the regression gate, recorded results.

They run in the repository, with its root as the current directory: `python -m bench`.
"""
