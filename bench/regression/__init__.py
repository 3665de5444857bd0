"""The gate on ratios: `make bench-regression`."""
