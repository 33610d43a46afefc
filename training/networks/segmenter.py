"""A small network that marks defects: an image in, a score for each place out.

N images of C x H x W pixels in [0, 1]; `h w` is the resolution of the map, at most 64 a side.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.layers import Shape

_MAX_SIDE = 64
_SMALL_SIDE = 48
_WIDTHS = (16, 24)  # for images of at most 48 pixels a side, and for larger ones
_LEVELS = 2


class Segmenter(nn.Module):
    """Two halvings and the way back, with skip connections: Ronneberger et al., U-Net, 2015."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, image: Shape) -> None:
        """Create the layers for images of shape (C, H, W)."""
        super().__init__()
        channels, self.height, self.image_width = image
        side = max(image[1:])
        self.block = -(-side // _MAX_SIDE)
        width = _WIDTHS[side > _SMALL_SIDE]
        sizes = [width * (level + 1) for level in range(_LEVELS + 1)]
        inputs = channels * self.block**2
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))
        self.stem = nn.Sequential(nn.PixelUnshuffle(self.block), *_convolve(inputs, width))
        self.down = nn.ModuleList(
            nn.Sequential(*_convolve(before, after, stride=2), *_convolve(after, after))
            for before, after in itertools.pairwise(sizes)
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(after, 4 * before, 1), nn.PixelShuffle(2))
            for before, after in itertools.pairwise(sizes)
        )
        self.join = nn.ModuleList(nn.Sequential(*_convolve(size, size)) for size in sizes[:-1])
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return log-odds of a defect at each place."""
        unit = self.block * 2**_LEVELS
        padding = (0, -self.image_width % unit, 0, -self.height % unit)
        normal = (images - self.mean) / self.deviation
        if any(padding):
            normal = functional.pad(normal, padding, mode="replicate")
        maps = [self.stem(normal)]  # (N, C, H, W) -> (N, width, h, w)
        for layers in self.down:
            maps.append(layers(maps[-1]))  # -> (N, ., h/2, w/2), (N, ., h/4, w/4)
        found = maps.pop()
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            found = join(maps.pop() + up(found))  # -> (N, ., h/2, w/2), (N, ., h, w)
        rows, columns = -(-self.height // self.block), -(-self.image_width // self.block)
        scores: Tensor = self.last(found)[:, 0, :rows, :columns]  # -> (N, h, w)
        return scores


def _convolve(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution block: (N, before, h, w) -> (N, after, h / stride, w / stride)."""
    return [
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]
