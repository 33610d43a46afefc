"""Evaluation of a trained run: metrics on test images, robustness and latent maps."""
