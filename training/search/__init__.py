"""Hyper-parameter search with Optuna: `latentd tune`."""
