"""Behaviour under stress: one module for each section of docs/reliability.md."""
