"""Plain and variational autoencoders, for images of any number of channels, height and width.

N images of C x H x W pixels in [0, 1]; L latent dimensions. `c h w` is the shape after the last
convolution.
"""

from typing import TypeAlias

import torch
from torch import Tensor, nn

from training.networks.layers import (
    KERNEL,
    STRIDE,
    Plan,
    Shape,
    mirror_convolution,
    plan_layers,
    stack_dense,
)
from training.networks.principal import Subspace
from training.networks.residual import (
    ResidualDecoder,
    ResidualEncoder,
    ResidualVariationalEncoder,
    start_autoencoder,
    start_variational,
)
from training.networks.resizing import ResizeDecoder
from training.recipe.schema import AutoencoderRecipe, VaeRecipe

_LOG_VARIANCE_RANGE = (-12.0, 6.0)  # keeps exp(log_variance) and its loss finite in float32


class Trunk(nn.Module):
    """The encoder without its output layer."""

    def __init__(self, plan: Plan) -> None:
        """Create the convolutions and the dense layers of `plan`."""
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, padding in zip(
            plan.shapes, plan.shapes[1:], plan.paddings, strict=False
        ):
            layers += [nn.Conv2d(before[0], after[0], KERNEL, STRIDE, padding)]
            layers += [nn.BatchNorm2d(after[0])] if plan.norm else []
            layers += [nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Sequential(*stack_dense((plan.flat, *plan.hidden), norm=plan.norm))
        self.flat = plan.flat

    def forward(self, images: Tensor) -> Tensor:
        """Return the last hidden units."""
        maps: Tensor = self.convolutions(images)  # (N, C, H, W) -> (N, c, h, w)
        rows = maps.reshape(-1, self.flat)  # -> (N, c*h*w)
        units: Tensor = self.hidden(rows)  # -> (N, hidden)
        return units


class Encoder(nn.Module):
    """Maps images to latents."""

    def __init__(self, plan: Plan) -> None:
        """Create the trunk and the output layer."""
        super().__init__()
        self.trunk = Trunk(plan)
        self.latents = nn.Linear(plan.features, plan.latent_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return the latents."""
        latents: Tensor = self.latents(self.trunk(images))  # (N, C, H, W) -> (N, L)
        return latents


class VariationalEncoder(nn.Module):
    """Maps images to the mean and log-variance of a normal distribution over latents."""

    def __init__(self, plan: Plan) -> None:
        """Create the trunk and the two output layers."""
        super().__init__()
        self.trunk = Trunk(plan)
        self.latent_size = plan.latent_size
        self.means = nn.Linear(plan.features, plan.latent_size)
        self.log_variances = nn.Linear(plan.features, plan.latent_size)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means and log-variances."""
        units = self.trunk(images)  # (N, C, H, W) -> (N, hidden)
        means: Tensor = self.means(units)  # -> (N, L)
        log_variances = self.log_variances(units).clamp(*_LOG_VARIANCE_RANGE)  # -> (N, L)
        return means, log_variances


class Decoder(nn.Module):
    """Maps latents to images: the mirror of the encoder."""

    def __init__(self, plan: Plan) -> None:
        """Create the mirrored layers of `plan`."""
        super().__init__()
        sizes = (plan.latent_size, *reversed(plan.hidden), plan.flat)
        self.hidden = nn.Sequential(*stack_dense(sizes, norm=plan.norm))
        layers: list[nn.Module] = []
        for index in range(len(plan.paddings), 0, -1):
            layers += [mirror_convolution(plan, index)]
            if index > 1:
                norm = [nn.BatchNorm2d(plan.shapes[index - 1][0])] if plan.norm else []
                layers += [*norm, nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.start = plan.shapes[-1]

    def forward(self, latents: Tensor) -> Tensor:
        """Return images in [0, 1]."""
        return torch.sigmoid(self.logits(latents))  # (N, L) -> (N, C, H, W)

    def logits(self, latents: Tensor) -> Tensor:
        """Return images before the sigmoid."""
        rows = self.hidden(latents)  # (N, L) -> (N, c*h*w)
        maps = rows.reshape(-1, *self.start)  # -> (N, c, h, w)
        images: Tensor = self.convolutions(maps)  # -> (N, C, H, W)
        return images


AnyDecoder: TypeAlias = Decoder | ResizeDecoder | ResidualDecoder
AnyEncoder: TypeAlias = Encoder | ResidualEncoder
AnyVariationalEncoder: TypeAlias = VariationalEncoder | ResidualVariationalEncoder


class Autoencoder(nn.Module):
    """An encoder and a decoder. A denoiser is one whose targets differ from its inputs."""

    encoder: AnyEncoder
    decoder: AnyDecoder

    def __init__(
        self, image: Shape, recipe: AutoencoderRecipe, subspace: Subspace | None = None
    ) -> None:
        """Create both parts for images of shape (C, H, W).

        Args:
            image: (C, H, W).
            recipe: The layers.
            subspace: Principal components that `residual` starts from; None: stored weights follow.
        """
        super().__init__()
        if recipe.architecture == "residual":
            self.encoder = ResidualEncoder(image, recipe)
            self.decoder = ResidualDecoder(image, recipe)
            if subspace is not None:
                start_autoencoder(self.encoder, self.decoder, subspace)
            return
        plan = plan_layers(image, recipe)
        self.encoder = Encoder(plan)
        self.decoder = ResizeDecoder(plan) if recipe.architecture == "resize" else Decoder(plan)

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructions."""
        reconstructions: Tensor = self.decoder(self.encoder(images))  # (N, C, H, W) -> same
        return reconstructions


class VariationalAutoencoder(nn.Module):
    """A variational encoder, a decoder and a pixel scale (Kingma and Welling, 2014)."""

    encoder: AnyVariationalEncoder
    decoder: AnyDecoder

    def __init__(self, image: Shape, recipe: VaeRecipe, subspace: Subspace | None = None) -> None:
        """Create both parts; arguments as for `Autoencoder`."""
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.log_scale.requires_grad_(recipe.likelihood == "gaussian")
        if recipe.architecture == "residual":
            self.encoder = ResidualVariationalEncoder(image, recipe)
            self.decoder = ResidualDecoder(image, recipe)
            if subspace is not None:
                scale = start_variational(self.encoder, self.decoder, subspace)
                nn.init.constant_(self.log_scale, scale)
            return
        plan = plan_layers(image, recipe)
        self.encoder = VariationalEncoder(plan)
        self.decoder = ResizeDecoder(plan) if recipe.architecture == "resize" else Decoder(plan)

    @property
    def latent_size(self) -> int:
        """L."""
        return self.encoder.latent_size

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructions from the mean latents."""
        means, _ = self.encoder(images)  # (N, C, H, W) -> (N, L)
        reconstructions: Tensor = self.decoder(means)  # -> (N, C, H, W)
        return reconstructions
