"""Benchmarks: speed (`performance`) and behaviour under stress (`reliability`) of real servers."""
