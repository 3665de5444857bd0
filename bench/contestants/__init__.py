"""What is measured: every way to compute the sublayer, whole layers, whole models."""
