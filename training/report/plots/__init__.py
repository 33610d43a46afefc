"""Plots as functions from arrays to a matplotlib Figure."""
