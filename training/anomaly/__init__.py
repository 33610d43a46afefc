"""Detectors of anomalies: their fit, calibration, choice and evaluation."""
