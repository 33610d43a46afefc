"""Metrics of a trained run on its test images, and latent maps."""
