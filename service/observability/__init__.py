"""Logs, metrics, their Prometheus exposition, and traces."""
