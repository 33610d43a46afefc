"""Measurements and a simulation of several machines; docs/scale.md has their records."""

from benchmarks.harness.records import SCALE

__all__ = ["SCALE"]
