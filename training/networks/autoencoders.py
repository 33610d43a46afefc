"""Every network, for images of any channels, height and width.

Letters: N images of C x H x W pixels in [0, 1]; L numbers in a code; K classes. `c h w` is what
is left of an image after the last convolution.

All layers stand in `nn.Sequential`s with their BatchNorm right behind them, so that
`fold_batch_norms` can merge each pair before export.
"""

import copy
import itertools
import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import fusion

from training.networks.convolutions import GreyConvTranspose2d
from training.recipe.schema import AutoencoderRecipe, ClassifierRecipe, VaeRecipe

Shape: TypeAlias = tuple[int, int, int]

_KERNEL = 3
_STRIDE = 2
_CHANNELS = {"seed": (8, 16, 32), "conv": (16, 32, 64)}
_HIDDEN = {"seed": (64,), "conv": (128,)}
_LOG_VARIANCE_RANGE = (-12.0, 6.0)  # exp() of it keeps a float32 loss finite from the first step


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of an encoder, and of the decoder that mirrors it."""

    shapes: tuple[Shape, ...]
    """(C, H, W) of the image and after each convolution."""
    paddings: tuple[tuple[int, int], ...]
    """Padding of each convolution, (vertical, horizontal)."""
    hidden: tuple[int, ...]
    """Units of each dense layer of the encoder, the first next to the convolutions."""
    norm: bool
    latent_size: int

    @property
    def flat(self) -> int:
        """Numbers left of an image after the last convolution, c * h * w."""
        return math.prod(self.shapes[-1])


def plan_layers(image: Shape, recipe: AutoencoderRecipe) -> Plan:
    """Return the sizes for images of shape `image` = (C, H, W).

    `seed` is the net of the source reports (000, 001 and 003 print it); its last convolution has
    no padding, unless that would leave nothing of a small image.
    """
    is_seed = recipe.architecture == "seed"
    channels = recipe.channels or _CHANNELS[recipe.architecture]
    shapes, paddings = [image], []
    for index, width in enumerate(channels):
        wanted = 0 if is_seed and index == len(channels) - 1 else 1
        _, height, breadth = shapes[-1]
        paddings.append((_fit_padding(height, wanted), _fit_padding(breadth, wanted)))
        shapes.append((width, _halve(height, paddings[-1][0]), _halve(breadth, paddings[-1][1])))
    hidden = recipe.hidden or _HIDDEN[recipe.architecture]
    units = (hidden,) if isinstance(hidden, int) else hidden
    return Plan(tuple(shapes), tuple(paddings), units, not is_seed, recipe.latent_size)


def _fit_padding(size: int, padding: int) -> int:
    return padding if size + 2 * padding >= _KERNEL else 1


def _halve(size: int, padding: int) -> int:
    return (size + 2 * padding - _KERNEL) // _STRIDE + 1


class Trunk(nn.Module):
    """The encoder up to its last hidden layer."""

    def __init__(self, plan: Plan) -> None:
        """Make the convolutions and the hidden layer of `plan`."""
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, padding in zip(
            plan.shapes, plan.shapes[1:], plan.paddings, strict=False
        ):
            layers += [nn.Conv2d(before[0], after[0], _KERNEL, _STRIDE, padding)]
            layers += [nn.BatchNorm2d(after[0])] if plan.norm else []
            layers += [nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Sequential(*_chain((plan.flat, *plan.hidden), norm=plan.norm))
        self.flat = plan.flat

    def forward(self, images: Tensor) -> Tensor:
        """Return the hidden units of `images`."""
        maps: Tensor = self.convolutions(images)  # (N, C, H, W) -> (N, c, h, w)
        rows = maps.reshape(-1, self.flat)  # -> (N, c*h*w)
        units: Tensor = self.hidden(rows)  # -> (N, hidden)
        return units


class Encoder(nn.Module):
    """Images to codes."""

    def __init__(self, plan: Plan) -> None:
        """Make the trunk and the layer that gives the code."""
        super().__init__()
        self.trunk = Trunk(plan)
        self.latents = nn.Linear(plan.hidden[-1], plan.latent_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return the codes of `images`."""
        codes: Tensor = self.latents(self.trunk(images))  # (N, C, H, W) -> (N, L)
        return codes


class VariationalEncoder(nn.Module):
    """Images to the mean and the log-variance of a normal distribution over codes."""

    def __init__(self, plan: Plan) -> None:
        """Make the trunk and one layer for each of the two."""
        super().__init__()
        self.trunk = Trunk(plan)
        self.means = nn.Linear(plan.hidden[-1], plan.latent_size)
        self.log_variances = nn.Linear(plan.hidden[-1], plan.latent_size)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means and the log-variances of the codes of `images`."""
        units = self.trunk(images)  # (N, C, H, W) -> (N, hidden)
        means: Tensor = self.means(units)  # -> (N, L)
        log_variances = self.log_variances(units).clamp(*_LOG_VARIANCE_RANGE)  # -> (N, L)
        return means, log_variances


class Decoder(nn.Module):
    """Codes to images: the encoder's mirror."""

    def __init__(self, plan: Plan) -> None:
        """Make the mirror of `plan`."""
        super().__init__()
        sizes = (plan.latent_size, *reversed(plan.hidden), plan.flat)
        self.hidden = nn.Sequential(*_chain(sizes, norm=plan.norm))
        layers: list[nn.Module] = []
        for index in range(len(plan.paddings), 0, -1):
            layers += [_mirror(plan, index)]
            if index > 1:
                norm = [nn.BatchNorm2d(plan.shapes[index - 1][0])] if plan.norm else []
                layers += [*norm, nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.start = plan.shapes[-1]

    def forward(self, latents: Tensor) -> Tensor:
        """Return the images of `latents`, in [0, 1]."""
        return torch.sigmoid(self.logits(latents))  # (N, L) -> (N, C, H, W)

    def logits(self, latents: Tensor) -> Tensor:
        """Return the images before the sigmoid."""
        rows = self.hidden(latents)  # (N, L) -> (N, c*h*w)
        maps = rows.reshape(-1, *self.start)  # -> (N, c, h, w)
        images: Tensor = self.convolutions(maps)  # -> (N, C, H, W)
        return images


class Autoencoder(nn.Module):
    """An encoder and a decoder; as a denoiser it is asked for other images than it sees."""

    def __init__(self, image: Shape, recipe: AutoencoderRecipe) -> None:
        """Make both halves for images of shape (C, H, W)."""
        super().__init__()
        plan = plan_layers(image, recipe)
        self.encoder = Encoder(plan)
        self.decoder = Decoder(plan)

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructions of `images`."""
        reconstructions: Tensor = self.decoder(self.encoder(images))  # (N, C, H, W) -> same
        return reconstructions


class VariationalAutoencoder(nn.Module):
    """An encoder to distributions over codes, a decoder, and the scale of a pixel's error."""

    def __init__(self, image: Shape, recipe: VaeRecipe) -> None:
        """Make both halves for images of shape (C, H, W)."""
        super().__init__()
        plan = plan_layers(image, recipe)
        self.encoder = VariationalEncoder(plan)
        self.decoder = Decoder(plan)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.log_scale.requires_grad_(recipe.likelihood == "gaussian")

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructions from the mean codes of `images`."""
        means, _ = self.encoder(images)  # (N, C, H, W) -> (N, L)
        reconstructions: Tensor = self.decoder(means)  # -> (N, C, H, W)
        return reconstructions


class Head(nn.Module):
    """A multilayer perceptron from codes to class logits."""

    def __init__(self, latent_size: int, classes: int, recipe: ClassifierRecipe) -> None:
        """Make the hidden layers of `recipe` and an output for each class."""
        super().__init__()
        layers: list[nn.Module] = []
        sizes = (latent_size, *recipe.hidden)
        for before, after in itertools.pairwise(sizes):
            # The BatchNorm also takes care of codes of any scale.
            layers += [*_dense(before, after, norm=True), nn.Dropout(recipe.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], classes))

    def forward(self, latents: Tensor) -> Tensor:
        """Return the class logits of `latents`."""
        logits: Tensor = self.layers(latents)  # (N, L) -> (N, K)
        return logits


class Classifier(nn.Module):
    """An encoder and a head on its codes."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        """Join the two; both keep their weights."""
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Return the class probabilities of `images`."""
        return torch.softmax(self.logits(images), dim=1)  # (N, C, H, W) -> (N, K)

    def logits(self, images: Tensor) -> Tensor:
        """Return the class probabilities before the softmax."""
        logits: Tensor = self.head(self.encoder(images))  # (N, C, H, W) -> (N, K)
        return logits


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers of `module` are learned."""
    return sum(weights.numel() for weights in module.parameters() if weights.requires_grad)


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Return a copy for inference with each BatchNorm merged into the layer before it."""
    folded = copy.deepcopy(module).eval()
    for part in [part for part in folded.modules() if isinstance(part, nn.Sequential)]:
        merged: list[nn.Module] = []
        for layer in part:
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                merged[-1] = _merge(merged[-1], layer)
            elif not isinstance(layer, nn.Dropout):
                merged.append(layer)
        del part[:]
        part.extend(merged)
    return folded


def _merge(layer: nn.Module, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    if isinstance(layer, nn.Linear):
        return fusion.fuse_linear_bn_eval(layer, norm)
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return fusion.fuse_conv_bn_eval(
            layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d)
        )
    raise TypeError(f"no rule merges a BatchNorm into {type(layer).__name__}")


def _dense(before: int, after: int, *, norm: bool) -> list[nn.Module]:
    """One dense layer: (N, before) -> (N, after)."""
    return [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if norm else []), nn.ReLU()]


def _chain(sizes: tuple[int, ...], *, norm: bool) -> list[nn.Module]:
    """Dense layers: (N, sizes[0]) -> (N, sizes[-1])."""
    return [
        layer
        for before, after in itertools.pairwise(sizes)
        for layer in _dense(before, after, norm=norm)
    ]


def _mirror(plan: Plan, index: int) -> nn.ConvTranspose2d:
    """The transposed convolution from shape `index` of the plan back to the one before."""
    before, after, padding = plan.shapes[index], plan.shapes[index - 1], plan.paddings[index - 1]
    # Two sizes halve to the same one; the output padding tells which it was.
    lost = [
        target - ((size - 1) * _STRIDE - 2 * pad + _KERNEL)
        for size, target, pad in zip(before[1:], after[1:], padding, strict=True)
    ]
    kind = GreyConvTranspose2d if after[0] == 1 else nn.ConvTranspose2d
    return kind(before[0], after[0], _KERNEL, _STRIDE, padding, output_padding=(lost[0], lost[1]))
