"""The autoencoder that reports 000, 001 and 003 print; latentd's recipe calls it `seed`."""

from torch import nn


def make_network(latent_size: int) -> nn.Sequential:
    """Return the autoencoder for 28 x 28 grey images."""
    encoder = [
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(32 * 3 * 3, 64), nn.ReLU(), nn.Linear(64, latent_size)),
    ]
    decoder = [
        *(nn.Linear(latent_size, 64), nn.ReLU(), nn.Linear(64, 32 * 3 * 3), nn.ReLU()),
        *(nn.Unflatten(1, (32, 3, 3)), nn.ConvTranspose2d(32, 16, 3, stride=2), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1), nn.ReLU()),
        *(nn.ConvTranspose2d(8, 1, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid()),
    ]
    return nn.Sequential(*encoder, *decoder)
