"""The regression gate on ratios of times: `make bench-regression`."""
