"""Samplers: reproducible draws with the documented distributions."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.artifact.samplers import (
    Centroids,
    ClassKernelDensity,
    FlowNoise,
    GaussianMixture,
    KernelDensity,
    ProjectedDensity,
    Sampler,
    StandardNormal,
    Uniform,
)

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


SAMPLERS: dict[str, Sampler] = {
    "uniform": Uniform(np.array([-1, 0, 2], np.float32), np.array([1, 0, 6], np.float32)),
    "centroid": Centroids(CODES[:2], SCALE),
    "kde": KernelDensity(CODES, SCALE, 0.2, LABELS),
    "class-kde": ClassKernelDensity(CODES, LABELS, SCALES, np.array([0.1, 0.4])),
    "pca-kde": ProjectedDensity(PLANE, MEAN, AXES),
    "gmm": MIXTURE,
    "prior": StandardNormal(3),
}
CONDITIONAL = ["kde", "class-kde", "pca-kde", "centroid"]


def draw(
    sampler: str,
    count: int = COUNT,
    label: int | None = None,
    temperature: float = 1,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Draw with a new generator."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return SAMPLERS[sampler].draw(count, generator, label, temperature)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seed_determines_the_latents(sampler: str) -> None:
    """The same seed gives the same latents bit for bit; another seed gives others."""
    first, again, other = draw(sampler), draw(sampler), draw(sampler, seed=1)

    assert first.dtype == np.float32
    assert first.shape == (COUNT, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("sampler", "latents"),
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
def test_latents_of_a_known_seed(sampler: str, latents: list[float]) -> None:
    """PCG64 has the same stream in every NumPy version and on every machine."""
    assert draw(sampler, count=1, seed=7)[0] == pytest.approx(latents, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_the_prior_is_standard_normal(temperature: float) -> None:
    """Means are 0, standard deviations equal the temperature, dimensions are independent."""
    latents = draw("prior", temperature=temperature).astype(np.float64)

    assert np.abs(latents.mean(axis=0)).max() < 0.05 * temperature
    assert latents.std(axis=0) == pytest.approx([temperature] * 3, rel=0.03)
    assert np.abs(np.corrcoef(latents.T) - np.eye(3)).max() < 0.03


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_uniform_distribution(temperature: float) -> None:
    """Each dimension is uniform; the temperature scales its range about the centre."""
    latents = draw("uniform", temperature=temperature).astype(np.float64)

    middle, half = np.array([0, 0, 4]), temperature * np.array([1, 0, 2])
    assert latents.min(axis=0) == pytest.approx(middle - half, abs=0.01 * temperature)
    assert latents.max(axis=0) == pytest.approx(middle + half, abs=0.01 * temperature)
    assert latents.std(axis=0) == pytest.approx(half / np.sqrt(3), rel=0.03)


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_centroid_distribution(temperature: float) -> None:
    """Classes are equally likely; latents are normal about the centroid with `sigma`."""
    latents = draw("centroid", temperature=temperature).astype(np.float64)

    nearest = np.abs(latents[:, None] - CODES[:2]).sum(axis=2).argmin(axis=1)
    spread = (latents - CODES[nearest]).std(axis=0)
    assert np.bincount(nearest) / COUNT == pytest.approx([0.5] * 2, abs=0.02)
    assert spread == pytest.approx(temperature * SCALE, rel=0.05, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_kernel_density_distribution(temperature: float) -> None:
    """Codes are equally likely; the spread is bandwidth * scale * temperature."""
    latents = draw("kde", temperature=temperature).astype(np.float64)

    nearest = np.abs(latents[:, None] - CODES).sum(axis=2).argmin(axis=1)
    spread = (latents - CODES[nearest]).std(axis=0)
    assert np.bincount(nearest) / COUNT == pytest.approx([1 / 3] * 3, abs=0.02)
    assert spread == pytest.approx(0.2 * temperature * SCALE, rel=0.05, abs=1e-6)


@pytest.mark.parametrize("label", [None, 1])
def test_class_kernel_density_distribution(label: int | None) -> None:
    """The spread about a code is the bandwidth times the scale of its class."""
    latents = draw("class-kde", label=label).astype(np.float64)

    nearest = np.abs(latents[:, None] - CODES).sum(axis=2).argmin(axis=1)
    for code in set(nearest.tolist()):
        spread = (latents[nearest == code] - CODES[code]).std(axis=0)
        expected = (0.1, 0.4)[LABELS[code]] * SCALES[LABELS[code]]
        assert spread == pytest.approx(expected, rel=0.05, abs=1e-6)


def test_projected_density_draws_in_its_plane() -> None:
    """Latents are draws from the plane, mapped back to the latent space."""
    latents = draw("pca-kde").astype(np.float64)

    generator = np.random.Generator(np.random.PCG64(0))
    coordinates = PLANE.draw(COUNT, generator, None, 1.0)
    assert np.allclose((latents - MEAN) @ AXES.T, coordinates, atol=1e-5)
    assert (latents[:, 2] == 3).all()


@pytest.mark.parametrize("temperature", [0.5, 1])
def test_mixture_distribution(temperature: float) -> None:
    """Components are drawn with their weights, and each is normal with its covariance."""
    latents = draw("gmm", temperature=temperature).astype(np.float64)

    for index, side in enumerate([latents[:, 0] < 0, latents[:, 0] > 0]):
        factor = temperature * FACTORS[index]
        assert side.mean() == pytest.approx(MIXTURE.weights[index], abs=0.02)
        assert latents[side].mean(axis=0) == pytest.approx(MIXTURE.means[index], abs=0.1)
        assert np.allclose(np.cov(latents[side].T), factor @ factor.T, atol=0.2 * temperature**2)


@pytest.mark.parametrize("sampler", CONDITIONAL)
@pytest.mark.parametrize("label", [0, 1])
def test_class_conditional_latents(sampler: str, label: int) -> None:
    """All latents of a class are drawn about codes of that class only."""
    latents = draw(sampler, label=label).astype(np.float64)
    if sampler == "pca-kde":
        latents = (latents - MEAN) @ AXES.T

    assert (np.sign(latents[:, 0]) == 2 * label - 1).all()
    middle = CODES[1] if sampler == "centroid" and label else CODES[label == LABELS].mean(axis=0)
    assert latents.mean(axis=0) == pytest.approx(middle[: latents.shape[1]], abs=0.03)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_temperature_scales_the_spread(sampler: str) -> None:
    """Half the temperature halves the distance of the same latents from their centres."""
    whole, half, none = (draw(sampler, temperature=t) for t in (1, 0.5, 1e-9))

    assert np.allclose(half - none, (whole - none) / 2, atol=1e-5)


def test_the_input_of_a_flow() -> None:
    """Scaled noise is followed by a one-hot class, with the frequencies of the weights."""
    noise = FlowNoise(np.array([1, 3], np.float32), np.array([0.25, 0, 0.75]))

    rows = noise.draw(COUNT, np.random.default_rng(0), None, 0.5)

    assert rows.shape == (COUNT, noise.input_size) == (COUNT, 5)
    assert rows.dtype == np.float32
    assert np.allclose(rows[:, :2].std(axis=0), [0.5, 1.5], rtol=0.02)
    assert np.allclose(rows[:, 2:].mean(axis=0), [0.25, 0, 0.75], atol=0.02)
    assert set(rows[:, 2:].sum(axis=1)) == {1}
    assert noise.classes == {0, 2}


def test_a_seed_gives_every_class_the_same_noise() -> None:
    """Samples of two classes with one seed differ in their class only."""
    noise = FlowNoise(np.ones(2, np.float32), np.array([0.5, 0.5]))

    free, first, second = (
        noise.draw(9, np.random.default_rng(0), label, 1.0) for label in (None, 0, 1)
    )

    assert np.array_equal(first[:, :2], second[:, :2])
    assert np.array_equal(first[:, :2], free[:, :2])
    assert first[:, 2:].tolist() == [[1, 0]] * 9
    assert second[:, 2:].tolist() == [[0, 1]] * 9


def test_a_flow_without_classes_takes_noise_only() -> None:
    """The rows have the latent size, and no class can be requested."""
    noise = FlowNoise(np.ones(2, np.float32))

    assert noise.draw(9, np.random.default_rng(0), None, 1.0).shape == (9, 2)
    assert not noise.classes
