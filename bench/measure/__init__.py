"""Inputs, checks of results, times, peak memory, and the machine that they are taken on."""
