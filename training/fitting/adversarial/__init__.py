"""Trainings against a discriminator: the GAN of report 001, and VAEs with sharp decoders."""
