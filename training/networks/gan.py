"""A generative adversarial network of dense layers, as in report 001, and a patch discriminator.

Goodfellow et al., Generative Adversarial Nets, 2014. N images of C x H x W pixels in [0, 1]; Z
noise dimensions.
"""

import itertools
import math

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training.networks.layers import Shape, stack_dense
from training.recipe.schema import GanRecipe

_PATCH_CHANNELS = (32, 64, 128)
_SLOPE = 0.2  # of LeakyReLU below 0, as in DCGAN


class Generator(nn.Module):
    """Maps noise to images."""

    def __init__(self, image: Shape, recipe: GanRecipe) -> None:
        """Create the dense layers for images of shape (C, H, W)."""
        super().__init__()
        sizes = (recipe.noise_size, *recipe.hidden)
        self.layers = nn.Sequential(
            *stack_dense(sizes, norm=False), nn.Linear(sizes[-1], math.prod(image)), nn.Tanh()
        )
        self.image = image
        self.noise_size = recipe.noise_size

    def forward(self, noise: Tensor) -> Tensor:
        """Return images in [0, 1]."""
        values: Tensor = self.layers(noise)  # (N, Z) -> (N, C*H*W), in [-1, 1]
        return ((values + 1) / 2).reshape(-1, *self.image)  # -> (N, C, H, W)


class Discriminator(nn.Module):
    """Maps images to the logit of being real: the mirror of the generator."""

    def __init__(self, image: Shape, recipe: GanRecipe) -> None:
        """Create the dense layers for images of shape (C, H, W)."""
        super().__init__()
        layers: list[nn.Module] = []
        sizes = (math.prod(image), *reversed(recipe.hidden))
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.layers(2 * images.flatten(1) - 1)  # (N, C, H, W) -> (N, 1)
        return logits


class PatchDiscriminator(nn.Module):
    """Maps images to one score for each overlapping patch of 38 x 38 pixels.

    Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017; spectral
    normalisation bounds its slope (Miyato et al., 2018).
    """

    def __init__(self, image: Shape) -> None:
        """Create the convolutions for images of shape (C, H, W)."""
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((image[0], *_PATCH_CHANNELS)):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 2)), nn.LeakyReLU(_SLOPE)]
        last = nn.Conv2d(_PATCH_CHANNELS[-1], 1, 3, padding=1)
        self.layers = nn.Sequential(*layers, spectral_norm(last))

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores: positive for real patches."""
        scores: Tensor = self.layers(2 * images - 1)  # (N, C, H, W) -> (N, 1, h, w)
        return scores
