"""The sources of latents: reproducible, and distributed as they say."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.artifact.densities import (
    ClassKernelDensity,
    GaussianMixture,
    KernelDensity,
    ProjectedDensity,
)
from service.artifact.samplers import Centroids, FilteredGan, Sampler, StandardNormal, Uniform

COUNT = 20_000
CODES = np.array([[-5, 0, 1], [5, 0, 1], [5, 2, 1]], dtype=np.float32)
SCALE = np.array([1, 0.5, 0], dtype=np.float32)
LABELS = np.array([0, 1, 1])
SCALES = np.array([[1, 1, 0], [0.5, 0.5, 0.5]], dtype=np.float32)
PLANE = KernelDensity(CODES[:, :2], SCALE[:2], 0.2, LABELS)
AXES = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0]], dtype=np.float32)
MEAN = np.array([1, 2, 3], dtype=np.float32)
FACTORS = np.array(
    [[[1, 0, 0], [1, 2, 0], [0, 0, 1]], [[0.5, 0, 0], [0, 0.5, 0], [0.5, 0, 0.5]]], dtype=np.float32
)
MIXTURE = GaussianMixture(np.array([0.25, 0.75]), np.array([[-9, 0, 0], [9, 0, 0]]), FACTORS)


def run_fake(network: str, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Generate an image of the noise doubled, and encode it as its pixels plus one."""
    if network == "generator":
        return [2 * batch[:, None, None, :]]
    assert network == "encoder"
    return [batch[:, 0, 0] + 1]


SOURCES: dict[str, Sampler] = {
    "uniform": Uniform(np.array([-1, 0, 2], np.float32), np.array([1, 0, 6], np.float32)),
    "centroid": Centroids(CODES[:2], SCALE),
    "kde": KernelDensity(CODES, SCALE, 0.2, LABELS),
    "class-kde": ClassKernelDensity(CODES, LABELS, SCALES, np.array([0.1, 0.4])),
    "pca-kde": ProjectedDensity(PLANE, MEAN, AXES),
    "gmm": MIXTURE,
    "prior": StandardNormal(3),
    "gan-filtered": FilteredGan(StandardNormal(3), run_fake),
}
CONDITIONAL = ["kde", "class-kde", "pca-kde", "centroid"]


def draw(
    source: str, count: int = COUNT, label: int | None = None, temperature: float = 1, seed: int = 0
) -> NDArray[np.float32]:
    """Draw with a new generator."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return SOURCES[source].draw(count, generator, label, temperature)


@pytest.mark.parametrize("source", SOURCES)
def test_a_seed_gives_the_same_latents(source: str) -> None:
    """The same seed gives the same latents bit for bit, another seed others."""
    first, again, other = draw(source), draw(source), draw(source, seed=1)

    assert first.dtype == np.float32
    assert first.shape == (COUNT, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("source", "latents"),
    [
        ("uniform", [0.2501909, 0, 5.1027427]),
        ("centroid", [5.2987456, -0.1370689, 1]),
        ("kde", [5.0597491, 1.9725862, 1]),
        ("class-kde", [5.0597491, 1.9451724, 0.8218817]),
        ("pca-kde", [2.4577806, 7.2313509, 3]),
        ("gmm", [9.1493731, -0.1370689, -0.2959231]),
        ("prior", [0.0012301, 0.2987455, -0.2741379]),
    ],
)
def test_known_latents_of_a_seed(source: str, latents: list[float]) -> None:
    """The generator is PCG64, whose stream every NumPy and machine shares."""
    assert draw(source, count=1, seed=7)[0] == pytest.approx(latents, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_the_prior_is_standard_normal(temperature: float) -> None:
    """Means are 0, deviations the temperature, and dimensions independent."""
    latents = draw("prior", temperature=temperature).astype(np.float64)

    assert np.abs(latents.mean(axis=0)).max() < 0.05 * temperature
    assert latents.std(axis=0) == pytest.approx([temperature] * 3, rel=0.03)
    assert np.abs(np.corrcoef(latents.T) - np.eye(3)).max() < 0.03


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_a_box_is_filled_evenly(temperature: float) -> None:
    """Each dimension is uniform between its ends, which the temperature spreads from its middle."""
    latents = draw("uniform", temperature=temperature).astype(np.float64)

    middle, half = np.array([0, 0, 4]), temperature * np.array([1, 0, 2])
    assert latents.min(axis=0) == pytest.approx(middle - half, abs=0.01 * temperature)
    assert latents.max(axis=0) == pytest.approx(middle + half, abs=0.01 * temperature)
    assert latents.std(axis=0) == pytest.approx(half / np.sqrt(3), rel=0.03)


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_centroids_spread_by_sigma(temperature: float) -> None:
    """Every class is drawn as often, normally about its centroid, as wide as sigma and heat say."""
    latents = draw("centroid", temperature=temperature).astype(np.float64)

    nearest = np.abs(latents[:, None] - CODES[:2]).sum(axis=2).argmin(axis=1)
    spread = (latents - CODES[nearest]).std(axis=0)
    assert np.bincount(nearest) / COUNT == pytest.approx([0.5] * 2, abs=0.02)
    assert spread == pytest.approx(temperature * SCALE, rel=0.05, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_the_density_is_a_mixture_around_its_codes(temperature: float) -> None:
    """Every code is drawn as often, with a spread of bandwidth, scale and temperature."""
    latents = draw("kde", temperature=temperature).astype(np.float64)

    nearest = np.abs(latents[:, None] - CODES).sum(axis=2).argmin(axis=1)
    spread = (latents - CODES[nearest]).std(axis=0)
    assert np.bincount(nearest) / COUNT == pytest.approx([1 / 3] * 3, abs=0.02)
    assert spread == pytest.approx(0.2 * temperature * SCALE, rel=0.05, abs=1e-6)


@pytest.mark.parametrize("label", [None, 1])
def test_each_class_has_its_own_bandwidth(label: int | None) -> None:
    """A code is drawn around as widely as its class's bandwidth and scale say."""
    latents = draw("class-kde", label=label).astype(np.float64)

    nearest = np.abs(latents[:, None] - CODES).sum(axis=2).argmin(axis=1)
    for code in set(nearest.tolist()):
        spread = (latents[nearest == code] - CODES[code]).std(axis=0)
        expected = (0.1, 0.4)[LABELS[code]] * SCALES[LABELS[code]]
        assert spread == pytest.approx(expected, rel=0.05, abs=1e-6)


def test_a_projected_density_lies_in_its_plane() -> None:
    """Latents are the density's draws, turned back into the latent space."""
    latents = draw("pca-kde").astype(np.float64)

    generator = np.random.Generator(np.random.PCG64(0))
    coordinates = PLANE.draw(COUNT, generator, None, 1.0)
    assert np.allclose((latents - MEAN) @ AXES.T, coordinates, atol=1e-5)
    assert (latents[:, 2] == 3).all()


@pytest.mark.parametrize("temperature", [0.5, 1])
def test_the_mixture_has_its_shares_means_and_covariances(temperature: float) -> None:
    """Each component is drawn as often as its weight says, normal with its covariance."""
    latents = draw("gmm", temperature=temperature).astype(np.float64)

    for index, side in enumerate([latents[:, 0] < 0, latents[:, 0] > 0]):
        factor = temperature * FACTORS[index]
        assert side.mean() == pytest.approx(MIXTURE.weights[index], abs=0.02)
        assert latents[side].mean(axis=0) == pytest.approx(MIXTURE.means[index], abs=0.1)
        assert np.allclose(np.cov(latents[side].T), factor @ factor.T, atol=0.2 * temperature**2)


def test_a_filtered_gan_gives_the_codes_of_its_images() -> None:
    """Noise goes through the generator and the encoder; heat widens the noise."""
    noise = draw("prior", temperature=0.5)

    assert np.array_equal(draw("gan-filtered", temperature=0.5), 2 * noise + 1)


@pytest.mark.parametrize("source", CONDITIONAL)
@pytest.mark.parametrize("label", [0, 1])
def test_latents_of_a_class(source: str, label: int) -> None:
    """They are drawn around that class's codes only, all of them."""
    latents = draw(source, label=label).astype(np.float64)
    if source == "pca-kde":
        latents = (latents - MEAN) @ AXES.T

    assert (np.sign(latents[:, 0]) == 2 * label - 1).all()
    middle = CODES[1] if source == "centroid" and label else CODES[label == LABELS].mean(axis=0)
    assert latents.mean(axis=0) == pytest.approx(middle[: latents.shape[1]], abs=0.03)


@pytest.mark.parametrize("source", SOURCES)
def test_temperature_scales_the_same_draw(source: str) -> None:
    """Half the temperature moves the same latents half as far from their centres."""
    whole, half, none = (draw(source, temperature=t) for t in (1, 0.5, 1e-9))

    assert np.allclose(half - none, (whole - none) / 2, atol=1e-5)
