"""Import of networks that were trained elsewhere: their graphs are wrapped, not trained again.

`importer` describes the steps. Letters: N images, C channels, H height, W width, L latent size,
K classes.
"""
