"""The samplers: reproducible, and distributed as they say."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeRuntime, write_bundle
from numpy.typing import NDArray

from service.artifact import Bundle, SamplerSpec
from service.artifact.latents import KernelDensity
from service.errors import ArtifactError
from service.inference.model import load_model
from service.inference.sampling import KernelDensitySampler, Sampler, StandardNormal, load_sampler

COUNT = 20_000
CODES = np.array([[-5, 0, 1], [5, 0, 1], [5, 2, 1]], dtype=np.float32)
SCALE = np.array([1, 0.5, 0], dtype=np.float32)
LABELS = np.array([0, 1, 1])
ZEROS = np.zeros((3, 4), dtype=np.float32)
SAMPLERS: dict[str, Sampler] = {
    "kde": KernelDensitySampler(KernelDensity(CODES, SCALE, 0.2, LABELS)),
    "prior": StandardNormal(3),
}


def draw(
    source: str, count: int = COUNT, label: int | None = None, temperature: float = 1, seed: int = 0
) -> NDArray[np.float32]:
    """Draw with a new generator."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return SAMPLERS[source].draw(count, generator, label, temperature)


@pytest.mark.parametrize("source", SAMPLERS)
def test_a_seed_gives_the_same_latents(source: str) -> None:
    """The same seed gives the same latents bit for bit, another seed others."""
    first, again, other = draw(source), draw(source), draw(source, seed=1)

    assert first.dtype == np.float32
    assert first.shape == (COUNT, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_known_latents_of_a_seed() -> None:
    """The generator is PCG64, whose stream every NumPy and machine shares."""
    assert draw("prior", count=1, seed=7)[0] == pytest.approx(
        [0.0012301, 0.2987455, -0.2741379], abs=1e-6
    )


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_the_prior_is_standard_normal(temperature: float) -> None:
    """Means are 0, deviations the temperature, and dimensions independent."""
    latents = draw("prior", temperature=temperature).astype(np.float64)

    assert np.abs(latents.mean(axis=0)).max() < 0.05 * temperature
    assert latents.std(axis=0) == pytest.approx([temperature] * 3, rel=0.03)
    assert np.abs(np.corrcoef(latents.T) - np.eye(3)).max() < 0.03


@pytest.mark.parametrize("temperature", [0.5, 1, 2])
def test_the_density_is_a_mixture_around_its_codes(temperature: float) -> None:
    """Every code is drawn as often, with a spread of bandwidth, scale and temperature."""
    latents = draw("kde", temperature=temperature).astype(np.float64)

    nearest = np.abs(latents[:, None] - CODES).sum(axis=2).argmin(axis=1)
    spread = (latents - CODES[nearest]).std(axis=0)
    assert np.bincount(nearest) / COUNT == pytest.approx([1 / 3] * 3, abs=0.02)
    assert spread == pytest.approx(0.2 * temperature * SCALE, rel=0.05, abs=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_the_density_of_a_class(label: int) -> None:
    """Latents of a class are drawn around that class's codes only, all of them."""
    latents = draw("kde", label=label)

    assert (np.sign(latents[:, 0]) == 2 * label - 1).all()
    assert latents.mean(axis=0) == pytest.approx(CODES[label == LABELS].mean(axis=0), abs=0.02)


def test_temperature_scales_the_same_draw() -> None:
    """Half the temperature moves the same latents half as far from their codes."""
    whole, half, none = (draw("kde", temperature=t) for t in (1, 0.5, 1e-9))

    assert np.allclose(half - none, (whole - none) / 2, atol=1e-5)


def test_the_first_draws_do_not_depend_on_the_temperature() -> None:
    """The codes that are drawn around are the same at every temperature."""
    assert np.allclose(draw("kde", temperature=1e-9), draw("kde", temperature=1e-6), atol=1e-5)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A whole bundle."""
    return write_bundle(tmp_path, "full")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (SamplerSpec(kind="flow", space="autoencoder"), "'flow' is unknown; known: kde, prior"),
        (SamplerSpec(kind="kde", space="autoencoder"), "needs a file"),
        (SamplerSpec(kind="kde", space="vae", file="errors.safetensors"), "missing"),
    ],
)
def test_a_sampler_that_cannot_be_loaded(bundle: Bundle, spec: SamplerSpec, reason: str) -> None:
    """A sampler of an unknown kind, or without its file, is refused with the reason."""
    with pytest.raises(ArtifactError, match=reason):
        load_sampler(bundle, spec)


@pytest.mark.parametrize(
    ("density", "reason"),
    [
        (KernelDensity(CODES, SCALE, 0.2, LABELS), "another latent size"),
        (KernelDensity(ZEROS, np.ones(4, np.float32), 0.2, LABELS), "lacks codes for some classes"),
        (KernelDensity(ZEROS, np.ones(4, np.float32), 0.2), "lacks codes for some classes"),
    ],
)
def test_a_density_of_another_bundle(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, density: KernelDensity, reason: str
) -> None:
    """A density must be of the space's size and hold codes of every class it can be asked for."""
    monkeypatch.setattr(Bundle, "read", lambda *_: density.to_bytes())

    with pytest.raises(ArtifactError, match=reason):
        load_sampler(bundle, bundle.manifest.samplers["kde"])


def test_a_bad_sampler_names_its_bundle(bundle: Bundle) -> None:
    """The bundle stands in the error, once."""
    manifest = bundle.manifest.model_copy(
        update={"samplers": {"flow": SamplerSpec(kind="flow", space="vae")}}
    )

    with pytest.raises(ArtifactError, match=r"^full@1: sampler kind 'flow'"):
        load_model(dataclasses.replace(bundle, manifest=manifest), FakeRuntime())
