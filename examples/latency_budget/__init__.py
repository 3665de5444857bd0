"""The largest FNet within the latency of a small Transformer, and how accurate both are."""
