"""Export of trained networks, and publication as a bundle."""
