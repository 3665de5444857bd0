"""Tables, plots and files, and the figures of the FNet paper for comparison."""
