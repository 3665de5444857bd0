"""Data sets that are generated: ListOps and Pathfinder, after the published rules."""
