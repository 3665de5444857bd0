"""Makes docs/results.md and its plots from the committed results of the studies."""
