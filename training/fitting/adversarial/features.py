"""A classifier whose features compare images: the feature loss of sharp decoders.

Larsen et al., Autoencoding beyond Pixels Using a Learned Similarity Metric, 2016. It is never the
judge: another width, other weights, and a training of two epochs.
"""

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from training.errors import RecipeError
from training.fitting.loop import fit
from training.fitting.losses import augmented_loss
from training.fitting.tasks import FitContext
from training.networks.classifiers import JudgeNetwork
from training.recipe.schema import JudgeRecipe

_RECIPE = JudgeRecipe(
    channels=(16, 32, 64),
    epochs=2,
    batch_size=128,
    learning_rate=0.004,
    weight_decay=0.02,
    precision="bfloat16",
)


class Features(nn.Module):
    """The maps of a frozen classifier after each stage, and its last hidden units."""

    def __init__(self, network: JudgeNetwork) -> None:
        """Split a trained classifier into its stages."""
        super().__init__()
        layers = list(network.convolutions)
        ends = [0, *(n + 1 for n, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d))]
        stages = [nn.Sequential(*layers[start:end]) for start, end in pairwise(ends)]
        self.stages = nn.ModuleList([*stages, network.hidden])
        self.eval().requires_grad_(requires_grad=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the output of each stage for images (N, C, H, W) in [0, 1]."""
        outputs = []
        for stage in self.stages:
            images = stage(images)
            outputs.append(images)
        return outputs

    def compare(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Return the mean squared difference of all stages, relative to their mean square."""
        with torch.no_grad():
            expected = [maps.float() for maps in self(images)]
        errors = [
            (maps.float() - target).square().mean() / target.square().mean().clamp(min=1e-12)
            for maps, target in zip(self(reconstructions), expected, strict=True)
        ]
        return torch.stack(errors).mean()


def fit_features(context: FitContext) -> Features:
    """Train, resume or load the classifier of a run's training images.

    Raises:
        RecipeError: the images are unlabelled.
        TrainingError: the loss is infinite or NaN.
    """
    if context.training.labels is None:
        raise RecipeError("vae.feature_weight: the images have no classes; set it to 0")
    classes = context.classes
    network = context.seeded("features", lambda: JudgeNetwork(context.shape, classes, _RECIPE))
    job = context.job("features", _RECIPE, augmented_loss(0, flip=False))
    job = replace(job, on_epoch=None, bar=None)
    fit(network, job, context.training, context.validation)
    return Features(network)
