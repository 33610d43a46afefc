"""Plots and reports of trained runs, and tables of published bundles."""
