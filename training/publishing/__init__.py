"""Export of trained networks, and publication of bundles."""
