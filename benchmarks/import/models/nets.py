"""Networks and a short training loop that several scripts share."""

import torch
from torch import nn


def make_encoder(channels, side, size):
    """Return a small convolutional encoder without a fixed pixel range."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, 2, 1),
        nn.BatchNorm2d(16),
        nn.LeakyReLU(),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.LeakyReLU(),
        nn.Flatten(),
        nn.Linear(32 * (side // 4) ** 2, size),
    )


def make_decoder(channels, side, size, last):
    """Return the decoder that mirrors it, with `last` as its last layer."""
    return nn.Sequential(
        nn.Linear(size, 32 * (side // 4) ** 2),
        nn.Unflatten(1, (32, side // 4, side // 4)),
        nn.ConvTranspose2d(32, 16, 4, 2, 1),
        nn.LeakyReLU(),
        nn.ConvTranspose2d(16, channels, 4, 2, 1),
        last,
    )


def fit(encode, decode, parameters, images, *, epochs=4, rate=2e-3):
    """Minimise the squared error of reconstructions."""
    optimizer = torch.optim.Adam(parameters, rate)
    for _ in range(epochs):
        for indices in torch.randperm(len(images)).split(64):
            batch = images[indices]
            loss = (decode(encode(batch)) - batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss.item()
