"""Autoencoders and classifiers: the reports' layer sizes, any image shape, BatchNorm folding."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.networks.classifiers import Classifier, ClassifierHead
from training.networks.layers import count_parameters, fold_batch_norms, plan_layers
from training.recipe.schema import AutoencoderRecipe, ClassifierRecipe, VaeRecipe

FASHION = (1, 28, 28)
SEED = AutoencoderRecipe(architecture="seed", latent_size=5)


def test_the_seed_network_has_the_reports_parameters() -> None:
    """The parameter counts equal those of the layers that report 000 prints for L = 5."""
    convolutions = (1 * 9 * 8 + 8) + (8 * 9 * 16 + 16) + (16 * 9 * 32 + 32)
    mirrored = (32 * 9 * 16 + 16) + (16 * 9 * 8 + 8) + (8 * 9 * 1 + 1)
    network = Autoencoder(FASHION, SEED)

    assert count_parameters(network.encoder) == (convolutions + (288 * 64 + 64) + (64 * 5 + 5))
    assert count_parameters(network.decoder) == (mirrored + (5 * 64 + 64) + (64 * 288 + 288))


def test_the_seed_network_has_the_reports_shapes() -> None:
    """28 x 28 pixels become 14, 7 and 3; the last convolution is unpadded."""
    plan = plan_layers(FASHION, SEED)

    assert plan.shapes == (FASHION, (8, 14, 14), (16, 7, 7), (32, 3, 3))
    assert plan.paddings == ((1, 1), (1, 1), (0, 0))
    assert plan.flat == 288
    assert not plan.norm


@pytest.mark.parametrize("architecture", ["seed", "conv", "resize"])
@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 32, 32), (3, 48, 64), (1, 30, 20), (1, 28, 28), (3, 5, 17)]
)
def test_reconstructions_have_the_shape_of_the_images(
    architecture: str, shape: tuple[int, int, int]
) -> None:
    """All architectures accept odd, oblong and small images."""
    recipe = AutoencoderRecipe.model_validate({"architecture": architecture, "latent_size": 3})
    network = Autoencoder(shape, recipe).eval()
    images = torch.rand(2, *shape)

    reconstructions = network(images)

    assert network.encoder(images).shape == (2, 3)
    assert reconstructions.shape == images.shape
    assert 0 <= reconstructions.min() <= reconstructions.max() <= 1


@settings(max_examples=40, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 40),
    width=st.integers(4, 40),
    depth=st.integers(1, 5),
    seed_net=st.booleans(),
)
def test_any_image_shape_is_reconstructed(
    channels: int, height: int, width: int, depth: int, seed_net: bool
) -> None:
    """The decoder restores the sizes that the strided convolutions round."""
    recipe = AutoencoderRecipe(
        architecture="seed" if seed_net else "conv",
        channels=(2,) * depth,
        hidden=4,
        latent_size=2,
    )
    network = Autoencoder((channels, height, width), recipe).eval()

    assert network(torch.rand(1, channels, height, width)).shape == (1, channels, height, width)


def test_variances_are_finite_and_positive() -> None:
    """Extreme inputs give variances that are neither 0 nor infinite."""
    network = VariationalAutoencoder(FASHION, VaeRecipe(latent_size=2)).eval()

    with torch.no_grad():
        _, log_variances = network.encoder(torch.full((1, *FASHION), 1e6))

    assert math.isfinite(log_variances.exp().sum())
    assert log_variances.exp().min() > 0


@pytest.mark.parametrize(("likelihood", "learned"), [("gaussian", True), ("bernoulli", False)])
def test_only_the_gaussian_likelihood_learns_a_scale(likelihood: str, learned: bool) -> None:
    """The Bernoulli likelihood does not use the scale, so its gradient would be undefined."""
    recipe = VaeRecipe.model_validate({"likelihood": likelihood})

    assert VariationalAutoencoder(FASHION, recipe).log_scale.requires_grad is learned


def test_a_classifier_returns_probabilities() -> None:
    """One number per class; their sum is 1 for each image."""
    encoder = Autoencoder(FASHION, SEED).encoder
    classifier = Classifier(encoder, ClassifierHead(5, 10, ClassifierRecipe(hidden=(8,)))).eval()

    probabilities = classifier(torch.rand(4, *FASHION))

    assert probabilities.shape == (4, 10)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(4))


def test_folding_removes_batch_norms_and_preserves_the_outputs() -> None:
    """Convolutions, transposed convolutions and dense layers absorb the BatchNorm after them."""
    network = Autoencoder(FASHION, AutoencoderRecipe(channels=(4, 6), hidden=8, latent_size=3))
    for _ in range(3):
        network.train()(
            torch.rand(16, *FASHION)
        )  # statistics that differ from their initial values
    network.eval()
    images = torch.rand(5, *FASHION)

    folded = fold_batch_norms(network)

    kinds = {type(module).__name__ for module in folded.modules()}
    assert not kinds & {"BatchNorm1d", "BatchNorm2d", "Dropout"}
    assert torch.allclose(folded(images), network(images), atol=1e-6)


def test_folding_does_not_change_the_network() -> None:
    """The network keeps its weights and its mode."""
    head = ClassifierHead(4, 3, ClassifierRecipe(hidden=(6,))).train()
    before = {name: weights.clone() for name, weights in head.state_dict().items()}

    fold_batch_norms(head)

    assert head.training
    assert all(torch.equal(before[name], weights) for name, weights in head.state_dict().items())
