"""Measuring Accord beside its limit and its peers."""
