"""The benchmarks: contestants, inputs, times, memory, plots. See `python -m fnet_kernels bench`."""
