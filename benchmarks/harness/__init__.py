"""Code that the benchmarks share: servers, load generators, rounds and records."""
