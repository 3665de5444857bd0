"""What the training programs share: flags, batches, the loop, the log and the saved state."""
