"""Tables, plots and files, with the figures of the FNet paper beside ours."""
