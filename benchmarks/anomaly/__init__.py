"""Measurements of the detectors of anomalies."""
