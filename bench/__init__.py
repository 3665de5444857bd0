"""The benchmarks: contestants, measurement, reports, targets, the regression gate, results.

Run them with the root of the repository as the current directory: `python -m bench`.
"""
