"""The classifier on an encoder's latents, and the judge that evaluates samples.

N images of C x H x W pixels in [0, 1]; L latent dimensions; K classes; F features.
"""

import itertools

import torch
from torch import Tensor, nn

from training.networks.autoencoders import AnyEncoder
from training.networks.layers import Shape, stack_dense
from training.networks.principal import PixelsToCodes, reduce_images, reduce_shape
from training.recipe.schema import ClassifierRecipe, JudgeRecipe

_MAX_SIDE = 48


class ClassifierHead(nn.Module):
    """A multilayer perceptron from latents to class logits."""

    def __init__(self, latent_size: int, classes: int, recipe: ClassifierRecipe) -> None:
        """Create the hidden layers of `recipe` and one output per class."""
        super().__init__()
        layers: list[nn.Module] = []
        sizes = (latent_size, *recipe.hidden)
        for pair in itertools.pairwise(sizes):
            # The first BatchNorm also normalises latents of any scale.
            layers += [*stack_dense(pair, norm=True), nn.Dropout(recipe.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], classes))

    def forward(self, latents: Tensor) -> Tensor:
        """Return the class logits."""
        logits: Tensor = self.layers(latents)  # (N, L) -> (N, K)
        return logits


class Classifier(nn.Module):
    """An encoder and a classifier head."""

    def __init__(self, encoder: AnyEncoder, head: ClassifierHead) -> None:
        """Combine both; their weights are shared, not copied."""
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Return the class probabilities."""
        return torch.softmax(self.logits(images), dim=1)  # (N, C, H, W) -> (N, K)

    def logits(self, images: Tensor) -> Tensor:
        """Return the class logits."""
        logits: Tensor = self.head(self.encoder(images))  # (N, C, H, W) -> (N, K)
        return logits


class JudgeNetwork(nn.Module):
    """A small VGG with batch normalisation: stages of 3 x 3 convolutions, each with max pooling.

    Simonyan and Zisserman, Very Deep Convolutional Networks, 2015. The first stage has one
    convolution instead of two, because a second one at full resolution would cost as much as a
    later stage.
    """

    def __init__(self, image: Shape, classes: int, recipe: JudgeRecipe) -> None:
        """Create the layers for images of shape (C, H, W)."""
        super().__init__()
        channels, height, width = image
        layers = [*_convolve(channels, recipe.channels[0]), _pool()]
        for before, after in itertools.pairwise(recipe.channels):
            layers += [*_convolve(before, after), *_convolve(after, after), _pool()]
        self.convolutions = nn.Sequential(*layers)
        scale = 2 ** len(recipe.channels)
        flat = recipe.channels[-1] * -(-height // scale) * -(-width // scale)
        self.hidden = nn.Sequential(nn.Flatten(), *stack_dense((flat, recipe.hidden), norm=True))
        self.head = nn.Sequential(nn.Dropout(recipe.dropout), nn.Linear(recipe.hidden, classes))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the class logits and the features."""
        features: Tensor = self.hidden(self.convolutions(images))  # (N, C, H, W) -> (N, F)
        logits: Tensor = self.head(features)  # -> (N, K)
        return logits, features

    def logits(self, images: Tensor) -> Tensor:
        """Return the class logits."""
        return self(images)[0]  # type: ignore[no-any-return]


class ImageClassifier(nn.Module):
    """Fixed logistic regression on pixels, plus a network as the judge's that starts at 0.

    Step 0 is the baseline, so a few hundred images give at least its accuracy. The convolutions see
    images of at most 48 pixels a side.
    """

    def __init__(self, image: Shape, classes: int, recipe: ClassifierRecipe) -> None:
        """Create the layers for images of shape (C, H, W); the regression is 0."""
        super().__init__()
        self.linear = PixelsToCodes(image, classes)
        self.pool = -(-max(image[1:]) // _MAX_SIDE)
        values = recipe.model_dump(include={"channels", "dropout"})
        layers = JudgeRecipe(**values, hidden=recipe.hidden[0])
        self.network = JudgeNetwork(reduce_shape(image, self.pool), classes, layers)
        for weights in self.network.head.parameters():
            nn.init.zeros_(weights)

    def forward(self, images: Tensor) -> Tensor:
        """Return the class probabilities."""
        return torch.softmax(self.logits(images), dim=1)  # (N, C, H, W) -> (N, K)

    def logits(self, images: Tensor) -> Tensor:
        """Return the class logits."""
        learned = self.network.logits(2 * reduce_images(images, self.pool) - 1)  # -> (N, K)
        baseline: Tensor = self.linear(images)  # -> (N, K)
        return baseline + learned.float()


def _convolve(before: int, after: int) -> list[nn.Module]:
    """Return a convolution block: (N, before, h, w) -> (N, after, h, w)."""
    return [
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    ]


def _pool() -> nn.Module:
    """Return a layer that halves height and width, rounded up: a side of 1 stays 1."""
    return nn.MaxPool2d(2, ceil_mode=True)
