"""Normal distributions of the patches at each place, as a network without training.

N images of C x H x W pixels in [0, 1]; h x w places, k features of a patch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.layers import Shape

PATCH = 15
STRIDE = 4
_MAX_SIDE = 32


class PatchDensity(nn.Module):
    """Log of 1 + the squared Mahalanobis distance of each patch (Defard et al., PaDiM, 2021).

    The features of a patch are its principal components at a resolution of at most 32 pixels a
    side, instead of the activations of a network that foreign images have trained.
    """

    filters: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, image: Shape, features: int) -> None:
        """Create the buffers for images of shape (C, H, W); `training.anomaly.patches` fits them.

        Args:
            image: (C, H, W).
            features: k.
        """
        super().__init__()
        channels, height, width = image
        self.pool = -(-max(height, width) // _MAX_SIDE)
        self.rows, self.columns = (
            (-(-side // self.pool) - 1) // STRIDE + 1 for side in (height, width)
        )
        places = self.rows * self.columns
        self.register_buffer("filters", torch.zeros(features, channels, PATCH, PATCH))
        self.register_buffer("means", torch.zeros(places, features, 1))
        self.register_buffer("factors", torch.zeros(places, features, features))

    def reduce(self, images: Tensor) -> Tensor:
        """Return images at the resolution of the patches."""
        return functional.avg_pool2d(images, self.pool, ceil_mode=True) if self.pool > 1 else images

    def forward(self, images: Tensor) -> Tensor:
        """Return the map (N, h, w)."""
        maps = functional.conv2d(self.reduce(images), self.filters, None, STRIDE, PATCH // 2)
        features = maps.flatten(2).transpose(1, 2).unsqueeze(3)  # -> (N, h*w, k, 1)
        whitened = torch.matmul(self.factors, features - self.means)  # -> (N, h*w, k, 1)
        distances = whitened.square().sum(dim=(2, 3))  # -> (N, h*w)
        return torch.log1p(distances).reshape(-1, self.rows, self.columns)
