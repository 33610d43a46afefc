"""A decoder that enlarges its maps and then convolves them.

Odena et al., Deconvolution and Checkerboard Artifacts, 2016: transposed convolutions leave a brick
pattern in images that are trained to be sharp. N images of C x H x W pixels; L latent dimensions.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.layers import Plan

_LAST_CHANNELS = 8  # at full resolution, where each channel costs most


class Enlarge(nn.Module):
    """Repeats pixels to a given height and width."""

    def __init__(self, height: int, width: int) -> None:
        """Set the size of the outputs, in pixels."""
        super().__init__()
        self.size = (height, width)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (N, c, height, width) for maps (N, c, h, w)."""
        return functional.interpolate(maps, size=self.size, mode="nearest")


class ResizeDecoder(nn.Module):
    """Maps latents to images through the shapes of a plan, in reverse."""

    def __init__(self, plan: Plan) -> None:
        """Create the layers: at each resolution two convolutions, at the last a narrow one."""
        super().__init__()
        self.start = plan.shapes[-1]
        sizes = (plan.latent_size, *reversed(plan.hidden), plan.flat)
        dense: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            dense += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
        self.dense = nn.Sequential(*dense)
        channels = self.start[0]
        layers = _convolve(channels, channels)
        for width, height_after, width_after in reversed(plan.shapes[1:-1]):
            layers += [Enlarge(height_after, width_after)]
            layers += [*_convolve(channels, width), *_convolve(width, width)]
            channels = width
        image_channels, height, image_width = plan.shapes[0]
        layers += [Enlarge(height, image_width), *_convolve(channels, _LAST_CHANNELS)]
        layers += [nn.Conv2d(_LAST_CHANNELS, image_channels, 3, padding=1)]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """Return images in [0, 1]."""
        return torch.sigmoid(self.logits(latents))  # (N, L) -> (N, C, H, W)

    def logits(self, latents: Tensor) -> Tensor:
        """Return images before the sigmoid."""
        maps = self.dense(latents).reshape(-1, *self.start)  # (N, L) -> (N, c, h, w)
        images: Tensor = self.convolutions(maps)  # -> (N, C, H, W)
        return images


def _convolve(before: int, after: int) -> list[nn.Module]:
    """Return a convolution block: (N, before, h, w) -> (N, after, h, w)."""
    return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
