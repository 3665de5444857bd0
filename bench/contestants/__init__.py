"""The contestants: every implementation of the sublayer, encoder layers, whole models."""
