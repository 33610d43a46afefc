"""The sample sources of a run: selection, fitting and loading."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.artifact import ImageSpec
from service.artifact.samplers import STORED_SAMPLERS, Uniform
from service.artifact.specs import DECODERS
from training.data.splits import LabelledImages, Splits
from training.errors import RecipeError, TrainingError
from training.fitting.network_set import NetworkSet
from training.networks.autoencoders import Autoencoder, VariationalAutoencoder
from training.networks.gan import Generator
from training.recipe.parsing import Members, parse_recipe
from training.recipe.schema import Recipe
from training.sampling.latents import SplitLatents, encode_splits
from training.sampling.samplers import (
    FittedSampler,
    fit_box,
    fit_centroids,
    fit_global_box,
    fit_samplers,
    make_network_runner,
)

SHAPE = (1, 8, 8)
TINY: Members = {"channels": [4, 8], "hidden": 8, "latent_size": 3}
OF_ANY = {"uniform-global", "uniform-per-dimension", "kde", "pca-kde", "gmm"}
OF_CLASSES = {"centroid", "class-kde"}
OF_VAE = {"vae-uniform-global", "vae-uniform-per-dimension", "vae-kde", "vae-gmm", "prior"}
OF_GAN = {"gan", "gan-filtered"}


def make_recipe(**members: object) -> Recipe:
    """Return a recipe with a tiny network of every kind."""
    networks = {"autoencoder": TINY, "vae": TINY, "gan": {"noise_size": 5, "hidden": [8]}}
    density = {"bandwidths": [-1, 1, 5]}
    complete = {
        "name": "x",
        "data": {"dataset": "digits"},
        **networks,
        "density": density,
        **members,
    }
    return parse_recipe(complete)


def make_splits(counts: tuple[int, ...] = (40, 40, 40)) -> Splits:
    """Return `counts` images per class, the same for training and validation."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = generator.integers(0, 256, (len(labels), *SHAPE)).astype(np.uint8)
    images = LabelledImages(
        pixels // 2 + (40 * labels[:, None, None, None]).astype(np.uint8), labels
    )
    names = tuple("abc"[: len(counts)])
    return Splits("x", ImageSpec(channels=1, height=8, width=8), names, images, images, images)


def make_networks(recipe: Recipe) -> NetworkSet:
    """Return networks with random weights."""
    assert recipe.vae is not None
    assert recipe.gan is not None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder = Autoencoder(SHAPE, recipe.autoencoder).eval()
        vae = VariationalAutoencoder(SHAPE, recipe.vae).eval()
        gan = Generator(SHAPE, recipe.gan).eval()
    return NetworkSet(autoencoder, None, vae, None, {}, gan)


def fit(
    folder: Path,
    splits: Splits | None = None,
    networks: NetworkSet | None = None,
    **members: object,
) -> tuple[dict[str, FittedSampler], list[str]]:
    """Fit the samplers; return them and the progress lines."""
    recipe, lines = make_recipe(**members), []
    trained = networks or make_networks(recipe)
    return fit_samplers(recipe, splits or make_splits(), trained, folder, lines.append), lines


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        ((), OF_ANY | OF_CLASSES | OF_VAE | OF_GAN),
        (("vae",), OF_ANY | OF_CLASSES | OF_GAN),
        (("vae", "gan"), OF_ANY | OF_CLASSES),
        (("gan", "classes"), OF_ANY | OF_VAE),
    ],
)
def test_every_possible_source_is_fitted(
    tmp_path: Path, missing: tuple[str, ...], names: set[str]
) -> None:
    """Sources of missing networks or classes are omitted without a warning."""
    splits = make_splits()
    if "classes" in missing:
        bare = LabelledImages(splits.train.pixels, None)
        splits = replace(splits, classes=None, train=bare, validation=bare)
    removed = {name: None for name in missing if name != "classes"}

    samplers, lines = fit(tmp_path, splits, replace(make_networks(make_recipe()), **removed))

    assert set(samplers) == names
    assert not [line for line in lines if "skipped" in line]


def test_each_source_matches_its_decoder(tmp_path: Path) -> None:
    """Latents of every source and class are decoded into images."""
    samplers, _ = fit(tmp_path)
    run = make_network_runner(make_networks(make_recipe()))

    for name, sampler in samplers.items():
        for label in [None, 0, 1, 2] if sampler.class_conditional else [None]:
            latents = sampler.source.draw(200, np.random.default_rng(0), label, 1.0)
            (images,) = run(DECODERS[sampler.space], latents)
            assert latents.dtype == np.float32, name
            assert images.shape == (200, *SHAPE), name


def test_sources_with_labels_are_class_conditional(tmp_path: Path) -> None:
    """Only these can sample a given class."""
    samplers, _ = fit(tmp_path)

    conditional = {name for name, sampler in samplers.items() if sampler.class_conditional}
    assert conditional == OF_CLASSES | {"kde", "pca-kde", "vae-kde"}


def test_a_file_contains_the_whole_source(tmp_path: Path) -> None:
    """A source read from its file draws the same; only sources with parameters have a file."""
    samplers, _ = fit(tmp_path)

    for name, sampler in samplers.items():
        assert (sampler.content is None) == (sampler.kind not in STORED_SAMPLERS), name
        if sampler.content is not None:
            loaded = STORED_SAMPLERS[sampler.kind].from_bytes(sampler.content)
            drawn = [
                source.draw(3, np.random.default_rng(0), None, 1.0)
                for source in (sampler.source, loaded)
            ]
            assert np.array_equal(*drawn)


def test_sources_are_fitted_once(tmp_path: Path) -> None:
    """A second call loads them, and fits a deleted one again with the same result."""
    first, lines = fit(tmp_path)
    (tmp_path / "gmm.safetensors").unlink()

    again, later_lines = fit(tmp_path)

    assert "fitting source kde" in lines
    assert [line for line in later_lines if line.startswith("fitting")] == ["fitting source gmm"]
    assert {name: some.content for name, some in again.items()} == {
        name: some.content for name, some in first.items()
    }


def test_a_recipe_can_select_sources(tmp_path: Path) -> None:
    """Only these are fitted, with a warning for impossible ones."""
    networks = replace(make_networks(make_recipe()), gan=None)
    selection = {"sources": ["prior", "gan", "uniform-global"]}

    samplers, lines = fit(tmp_path, networks=networks, samplers=selection)

    assert set(samplers) == {"prior", "uniform-global"}
    assert [line for line in lines if "skipped source gan:" in line]


FLOW: Members = {
    "width": 8,
    "blocks": 1,
    "epochs": 1,
    "pairs": 64,
    "distillation_epochs": 1,
    "batch_size": 64,
}


def test_flows_are_fitted_once_for_each_space(tmp_path: Path) -> None:
    """With a section `flow`, both spaces have a class-conditional source, which is loaded later."""
    selection = {"sources": ["flow", "vae-flow", "prior"]}

    samplers, lines = fit(tmp_path, flow=FLOW, samplers=selection)
    again, _ = fit(tmp_path, flow=FLOW, samplers=selection)

    assert set(samplers) == {"flow", "vae-flow", "prior"}
    assert [samplers[name].space for name in ("flow", "vae-flow")] == ["autoencoder", "vae"]
    assert samplers["flow"].class_conditional
    assert [line for line in lines if "flow" in line] == [
        "fitting source flow",
        "fitting source vae-flow",
    ]
    assert (tmp_path / "vae_flow" / "history.json").exists()
    first, second = (
        some["flow"].source.draw(5, np.random.default_rng(0), 1, 1.0) for some in (samplers, again)
    )
    assert first.shape == (5, 3)
    assert np.array_equal(first, second)


def test_a_flow_that_cannot_be_fitted_is_skipped(tmp_path: Path) -> None:
    """Without validation images the run has its other sources."""
    splits = make_splits()
    splits = replace(splits, validation=splits.validation.take(np.arange(0)))

    samplers, lines = fit(tmp_path, splits, flow=FLOW, samplers={"sources": ["flow", "prior"]})

    assert set(samplers) == {"prior"}
    assert "warning: flow: skipped: there are 0 validation images" in lines


def test_an_unknown_source_is_rejected() -> None:
    """The recipe's error names the key."""
    with pytest.raises(RecipeError, match=r"samplers\.sources"):
        make_recipe(samplers={"sources": ["spline"]})


def test_a_failed_fit_is_skipped_with_a_warning(tmp_path: Path) -> None:
    """A class with one image has a centroid, but no bandwidth."""
    samplers, lines = fit(tmp_path, make_splits((40, 40, 1)))

    assert set(samplers) == (OF_ANY | OF_CLASSES | OF_VAE | OF_GAN) - {"class-kde"}
    assert samplers["kde"].class_conditional
    assert [line for line in lines if line.startswith("warning: class-kde: skipped: class 2")]


def test_a_class_without_training_images_disables_class_sampling(tmp_path: Path) -> None:
    """A source can sample every class, or is not class-conditional."""
    samplers, lines = fit(tmp_path, replace(make_splits((40, 40)), classes=("a", "b", "c")))

    assert not any(sampler.class_conditional for sampler in samplers.values())
    assert "centroid" not in samplers
    assert [line for line in lines if "class 2 has 0 training images" in line]


def test_few_images_are_sufficient(tmp_path: Path) -> None:
    """Fifteen images give boxes, centroids, densities and a mixture with one component."""
    samplers, _ = fit(tmp_path, make_splits((5, 5, 5)))

    assert samplers.keys() >= OF_ANY | {"centroid"}


LATENTS = SplitLatents(
    np.array([[0, 5], [2, 5], [10, 6], [10, 8]], np.float32),
    np.zeros((1, 2), np.float32),
    np.array([0, 0, 1, 1]),
    np.array([0]),
    2,
)


def test_boxes_span_the_latents() -> None:
    """One box has equal sides, the other has the range of each dimension."""
    equal, separate = (
        fit_one(LATENTS, make_recipe(), print) for fit_one in (fit_global_box, fit_box)
    )

    assert isinstance(equal, Uniform)
    assert (equal.low.tolist(), equal.high.tolist()) == ([0, 0], [10, 10])
    assert (separate.low.tolist(), separate.high.tolist()) == ([0, 5], [10, 8])


def test_centroids_are_class_means_with_a_pooled_deviation() -> None:
    """Distances between classes do not increase sigma."""
    fitted = fit_centroids(LATENTS, make_recipe(), print)

    assert fitted.centroids.tolist() == [[1, 5], [10, 7]]
    assert fitted.sigma == pytest.approx([np.sqrt(0.5), np.sqrt(0.5)])


def test_the_latents_of_a_vae_are_its_means() -> None:
    """The encoder of each space computes its latents, in evaluation mode."""
    splits, networks = make_splits(), make_networks(make_recipe())
    images = torch.from_numpy(splits.train.pixels).float() / 255

    latents = encode_splits(splits, networks, "vae")

    assert networks.vae is not None
    with torch.no_grad():
        assert np.allclose(latents.training, networks.vae.encoder(images)[0].numpy(), atol=1e-5)
    assert latents.classes == 3


def test_running_a_missing_network_fails() -> None:
    """The error names the network."""
    run = make_network_runner(replace(make_networks(make_recipe()), gan=None))

    with pytest.raises(TrainingError, match="generator"):
        run("generator", np.zeros((1, 5), np.float32))
