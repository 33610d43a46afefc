"""The sources of a run: which are fitted, to what, and that they are fitted once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.artifact import ImageSpec
from service.artifact.manifest import DECODERS
from service.artifact.sources import STORED_SOURCES, Uniform
from training.data.splits import LabelledImages, Splits
from training.errors import RecipeError, TrainingError
from training.fitting.gan import Generator
from training.fitting.network_set import Networks
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.recipe.schema import Members, Recipe, parse_recipe
from training.sampling.density import Codes
from training.sampling.samplers import (
    FittedSampler,
    encode_splits,
    fit_box,
    fit_centroids,
    fit_global_box,
    fit_samplers,
    give_runner,
)

SHAPE = (1, 8, 8)
TINY: Members = {"channels": [4, 8], "hidden": 8, "latent_size": 3}
OF_ANY = {"uniform-global", "uniform-per-dimension", "kde", "pca-kde", "gmm"}
OF_CLASSES = {"centroid", "class-kde"}
OF_VAE = {"vae-uniform-global", "vae-uniform-per-dimension", "vae-kde", "vae-gmm", "prior"}
OF_GAN = {"gan", "gan-filtered"}


def make_recipe(**members: object) -> Recipe:
    """Return a recipe of tiny networks of every kind."""
    networks = {"autoencoder": TINY, "vae": TINY, "gan": {"noise_size": 5, "hidden": [8]}}
    density = {"bandwidths": [-1, 1, 5]}
    whole = {"name": "x", "data": {"dataset": "digits"}, **networks, "density": density, **members}
    return parse_recipe(whole)


def make_splits(counts: tuple[int, ...] = (40, 40, 40)) -> Splits:
    """Return images of so many a class, the same for training and validation."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = generator.integers(0, 256, (len(labels), *SHAPE)).astype(np.uint8)
    images = LabelledImages(
        pixels // 2 + (40 * labels[:, None, None, None]).astype(np.uint8), labels
    )
    names = tuple("abc"[: len(counts)])
    return Splits("x", ImageSpec(channels=1, height=8, width=8), names, images, images, images)


def make_networks(recipe: Recipe) -> Networks:
    """Return networks with random weights."""
    assert recipe.vae is not None
    assert recipe.gan is not None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder = Autoencoder(SHAPE, recipe.autoencoder).eval()
        vae = VariationalAutoencoder(SHAPE, recipe.vae).eval()
        gan = Generator(SHAPE, recipe.gan).eval()
    return Networks(autoencoder, None, vae, None, {}, gan)


def fit(
    folder: Path, splits: Splits | None = None, networks: Networks | None = None, **members: object
) -> tuple[dict[str, FittedSampler], list[str]]:
    """Fit the samplers; return them and what was told."""
    recipe, told = make_recipe(**members), []
    wanted = networks or make_networks(recipe)
    return fit_samplers(recipe, splits or make_splits(), wanted, folder, told.append), told


@pytest.mark.parametrize(
    ("lost", "names"),
    [
        ((), OF_ANY | OF_CLASSES | OF_VAE | OF_GAN),
        (("vae",), OF_ANY | OF_CLASSES | OF_GAN),
        (("vae", "gan"), OF_ANY | OF_CLASSES),
        (("gan", "classes"), OF_ANY | OF_VAE),
    ],
)
def test_every_source_that_is_possible_is_made(
    tmp_path: Path, lost: tuple[str, ...], names: set[str]
) -> None:
    """What is not trained, or has no classes, has no sources, and no line is told of them."""
    splits = make_splits()
    if "classes" in lost:
        bare = LabelledImages(splits.train.pixels, None)
        splits = replace(splits, classes=None, train=bare, validation=bare)
    gone = {name: None for name in lost if name != "classes"}

    samplers, told = fit(tmp_path, splits, replace(make_networks(make_recipe()), **gone))

    assert set(samplers) == names
    assert not [line for line in told if "left out" in line or "no source" in line]


def test_each_source_draws_what_its_decoder_takes(tmp_path: Path) -> None:
    """Latents of every source, of any class and of each, are decoded to images."""
    samplers, _ = fit(tmp_path)
    run = give_runner(make_networks(make_recipe()))

    for name, sampler in samplers.items():
        for label in [None, 0, 1, 2] if sampler.class_conditional else [None]:
            latents = sampler.source.draw(200, np.random.default_rng(0), label, 1.0)
            (images,) = run(DECODERS[sampler.space], latents)
            assert latents.dtype == np.float32, name
            assert images.shape == (200, *SHAPE), name


def test_which_sources_take_a_class(tmp_path: Path) -> None:
    """Those that keep labels do."""
    samplers, _ = fit(tmp_path)

    conditional = {name for name, sampler in samplers.items() if sampler.class_conditional}
    assert conditional == OF_CLASSES | {"kde", "pca-kde", "vae-kde"}


def test_a_source_is_its_file(tmp_path: Path) -> None:
    """What is stored for the bundle is read to what training judges; the rest needs no file."""
    samplers, _ = fit(tmp_path)

    for name, sampler in samplers.items():
        assert (sampler.content is None) == (sampler.kind not in STORED_SOURCES), name
        if sampler.content is not None:
            read = STORED_SOURCES[sampler.kind].from_bytes(sampler.content)
            drawn = [
                source.draw(3, np.random.default_rng(0), None, 1.0)
                for source in (sampler.source, read)
            ]
            assert np.array_equal(*drawn)


def test_sources_are_fitted_once(tmp_path: Path) -> None:
    """A second time they are read, those that were lost are fitted again, to the same."""
    first, told = fit(tmp_path)
    (tmp_path / "gmm.safetensors").unlink()

    again, told_again = fit(tmp_path)

    assert "fitting the source kde" in told
    assert [line for line in told_again if line.startswith("fitting")] == ["fitting the source gmm"]
    assert {name: some.content for name, some in again.items()} == {
        name: some.content for name, some in first.items()
    }


def test_a_recipe_names_its_sources(tmp_path: Path) -> None:
    """Only those are made, and what cannot be made is told."""
    networks = replace(make_networks(make_recipe()), gan=None)
    wanted = {"sources": ["prior", "gan", "uniform-global"]}

    samplers, told = fit(tmp_path, networks=networks, samplers=wanted)

    assert set(samplers) == {"prior", "uniform-global"}
    assert [line for line in told if "no source gan:" in line]


def test_an_unknown_source_is_refused() -> None:
    """Before anything is trained, with the key's name."""
    with pytest.raises(RecipeError, match=r"samplers\.sources"):
        make_recipe(samplers={"sources": ["flow"]})


def test_what_cannot_be_fitted_is_left_out_and_told(tmp_path: Path) -> None:
    """A class of one image has a centroid and codes, and no bandwidth of its own."""
    samplers, told = fit(tmp_path, make_splits((40, 40, 1)))

    assert set(samplers) == (OF_ANY | OF_CLASSES | OF_VAE | OF_GAN) - {"class-kde"}
    assert samplers["kde"].class_conditional
    assert [line for line in told if line.startswith("warning: class-kde: left out, as class 2")]


def test_a_class_without_training_images_cannot_be_asked_for(tmp_path: Path) -> None:
    """The sources that keep labels give any class, or are left out."""
    samplers, told = fit(tmp_path, replace(make_splits((40, 40)), classes=("a", "b", "c")))

    assert not any(sampler.class_conditional for sampler in samplers.values())
    assert "centroid" not in samplers
    assert [line for line in told if "class 2 has no training images" in line]


def test_few_images_have_samplers(tmp_path: Path) -> None:
    """Fifteen images are enough for boxes, centroids, densities and a mixture of one component."""
    samplers, _ = fit(tmp_path, make_splits((5, 5, 5)))

    assert samplers.keys() >= OF_ANY | {"centroid"}


CODES = Codes(
    np.array([[0, 5], [2, 5], [10, 6], [10, 8]], np.float32),
    np.zeros((1, 2), np.float32),
    np.array([0, 0, 1, 1]),
    np.array([0]),
    2,
)


def test_boxes_reach_from_the_least_to_the_largest() -> None:
    """One box has the same sides everywhere, the other each dimension's own."""
    whole, own = (fit_one(CODES, make_recipe(), print) for fit_one in (fit_global_box, fit_box))

    assert isinstance(whole, Uniform)
    assert (whole.low.tolist(), whole.high.tolist()) == ([0, 0], [10, 10])
    assert (own.low.tolist(), own.high.tolist()) == ([0, 5], [10, 8])


def test_centroids_are_means_and_sigma_the_spread_within_classes() -> None:
    """What lies between the classes does not widen sigma."""
    fitted = fit_centroids(CODES, make_recipe(), print)

    assert fitted.centroids.tolist() == [[1, 5], [10, 7]]
    assert fitted.sigma == pytest.approx([np.sqrt(0.5), np.sqrt(0.5)])


def test_the_codes_of_a_vae_are_its_means() -> None:
    """Each space's codes come from its own encoder, in evaluation mode."""
    splits, networks = make_splits(), make_networks(make_recipe())
    images = torch.from_numpy(splits.train.pixels).float() / 255

    codes = encode_splits(splits, networks, "vae")

    assert networks.vae is not None
    with torch.no_grad():
        assert np.allclose(codes.training, networks.vae.encoder(images)[0].numpy(), atol=1e-5)
    assert codes.classes == 3


def test_a_network_that_was_not_trained_cannot_run() -> None:
    """The error names it."""
    run = give_runner(replace(make_networks(make_recipe()), gan=None))

    with pytest.raises(TrainingError, match="generator"):
        run("generator", np.zeros((1, 5), np.float32))
